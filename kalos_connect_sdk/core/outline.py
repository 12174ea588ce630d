"""The outline of mainland China as data: where GCJ-02 applies and where R16 looks.

Made from Natural Earth's 1:10 million countries (public domain), as packed by the npm package ``world-atlas``
(ISC): the land, widened over the sea by 0.2 degrees (about the 12 nautical miles of the territorial sea) up to
the line halfway to any neighbour's land, without Hong Kong, Macau and Taiwan with Kinmen and Matsu; Hengqin and
Matsu, which that map lacks, were added by hand. Simplified to 0.02 degrees, finer near cities on the border, and
rounded to 0.001. It is right to about 2 km, and says nothing about whose any place is.

``POINTS`` is base-85 of deflated variable-length integers: the number of rings, then for each its number of
points and their steps (longitude, latitude) in thousandths of a degree, the first from 0, 0. A ring inside
another is a hole.
"""

from __future__ import annotations

from typing import Final

__all__ = ["POINTS"]

POINTS: Final = (
    "c-j?McU)B0)}6J_z0+XmLlGE6K)M1N6%qs3Mw0+0ikc`SD&R9<6jAfgC?FjRVuPq4!~iN{36@|31jSy6exR|(5(`G3sIh<BKWOt~&OLkYwbov1th"
    "x*f->LI%OJnXp--30b-%i|z@gXuWO#jt>N|)Zzf;O_dBVQ7`$)pem5xX19#S$DxKnXlnN^Mkzp0id_+}QpbFs2y0h3R(s9f#n%7b~$92T(;jQI2#"
    "<3LAcw?%-D_ThM|$lvCJsRay&qour@c3;$oF(?Yi!ZL}912pE}kRnsLpV7*)H$8xeigy$$wh6N>zZ^O(<ud!9xhVyh;TA=&l9L-WCJr-^F8{u=mO"
    "DUmxe3pj-`b%1;Nlj9@n|;xD85EIYA5zj*>L1sIubhTdNV{=Z^m&RIeF6-h+!qU}QR<d7=U)-IpIpzI?iD34Pg+kqY4TZVD^7~LSO|;Ncm?;fd~O"
    "MhBg?r94{@5xaaQWWaoR|?<ek(aLO$HYzD&7|y5xGiBa=27RIYT{f=n1I5#)K3hTZ3;{wmqbN~g2v=e`)a4%FfjY;&j->2e+xixzq;@}$T|Wc>)~"
    "NSDSvr&r{hhlC&Uu^hUY8)-Rr(xHSt+bhjJi@5(u<J3hI=dT!X8{fK3u0jPaiwdX)U&AVlj7gU(aUI3j0xn}>NCo{O_TVZMS#$%J$aOg_cutm)`B"
    "+1h2uWN<idp|X4%P5ySSmHcZRj0jli3c84D?-u`{I;ziSiLw0eyTqieO$r3Bk2gBpt;wvZzO^R4k?DN?Q;=cM}yL$}AH{L_ig7z#}*>L)d=4$2*n"
    "wI%V(`?W&X`s}OonNXO-rH&l$xqEM`pJW6Oi?T5*JTEtk`g(`Um{!b1nMJ_3_X}g$xS~{j4(@f8m>*YZgXn^Ns(;S?4+b0^;S8>a#l5R;>zldUNr"
    "6)X>Jt()hM`tzn#Cg-}P}hn)rCk-0kBGgr-+sS3-L{P`Yo@o*q@$AWc@gk89l>K!jw57PEx*Ej^$~T4vXM?wzvpy_p{(4A5Ze%SnCg==*iL7pog("
    "oS>Um6x(Iu28443ho%B9^5j>RgEOSG0+DET+tTl~&cSt*ic=3$-G!P9$8=jp3UVrq%fXSF=1Ox`QnXh=Es!`Q~uC=lhMi+0mz`!Q#w`eXOqm{|h1"
    "?=DeT8@AyMv`2ZGcjUj3rHXljoftE<9R2o!0VGX)M25d<=yAT%GAI)!nZKjg%v-nPNK8kQ@|_4-aD(C|FQu2#K^zdjh(ZK3NRiD-W394AZjc)3AC"
    "ZMZ<){}lU>{98M=ww*9}#JLMWb{X`ZDQ~cq432qd?nb_E=pc8inQW(lOkDBIK);(nB<gjr1$J$If|<Id7C<j}X#<HHdsHI;ne9kZr&rj7-=`Ys5<"
    "OIZch?EIDmKNVmXoNebnhLzv;6v=CnIRalKI#GYrJu*s9xvG@#M$fr2Y{gq$wevEv&grmq4Yo$YYAWw`LrdUenMGMk32bE`K^>T{6MA|o)@mNgA5"
    "#qea;dXt!T-EES6nPv;yT!yY<N8iqhJ>9+Tqz}PrBf^zep!@3>!cBR_^}+O6GkOy6?wQ${ocq=Kk()#ysk5`YS4f;<hO<=dlfbY&wK<Aim64QJSu"
    "GLG6ZGOY<(_Dz&u`p;9{1osMq*b+5e_kgy>r2qPJqia&e6THds}Nm>+jjHbU!|js2TgB5Y^JI!;*5PjfECJ%nV^QTZQ9QH(NvXes{Uffhnx7yP9{"
    "?>8{c_a;rVwNpjA4XwmE#GXN5D@*0{nSUUQGWj>FLzrGbmgQtK^3%VCYTWQQh%g?*Ls&e*hypGp&h9uycVY6#jV$N#gb{rYU_UvJ*~PN$sz@orM`"
    "p>tN^2?3?Ky=V$JpiMUQKUVkEf~Ea=VnyD_GapLN#R<9V6SRtdcZ*zTy<BFm$={zt^dP$vb4F2+ooG+UUD15xkMQNHMd3oYzSo1hen|Nuk@Bh0C;"
    "A44CL;=vlym(g9!NdpyHSgjAyd5qEHnwuvi@(l0NPbtbEO|0NhR#ph3)K|~YUMaZ|@;WPZs#Cjg`4(`y@q(H~S49t#pI>$p8w4S%wdqhdb`MJ;<X"
    "Ad8h&tn+pA3nm*H{Q;1)CsX3>rpBUt&}Ye;HlX<(S*H7)YjuJn&Im9C)(-5jg&={`Wo86uj}BQMGbTuPZ@pLa>^1IzK!2Ne(x!G`Ui-ZEkX2c<Ri"
    "^c!Gqa`peJZTZ^wv5!Yehp650&d-DRl_jOc<}0j4`mNsI_CgVEYCJ}}_~bwGEJoQJhS8|4%dsqAKLRSfTVMWDTLc%UNKF32-lr?-^D<M%-RII0?h"
    "#>Pza@l9@}YtSaI#W5_!KB#Sbw_}uUdbDP^XUy1;!FAk+6s>Ve1{}So>=E{R#MB$&i^C$qkV)^v4rw2iicI><ab^?bMB^sGf;RV0p)}gt1{K3l2>"
    "<?u)rftHS-N3C%J76H3~?J)OlQ!JFJi;nVT_+*h^Ry{`BY-Ep^ha!a8yiG;8<VZ+lcpdHMm6$Ry+Ed7*i5m)#0s@F?Hg|sB16;&d!G}Z5uk#W36-"
    "p?ko5_lc<ngyp{q}*Hf~atL*HnYoZ4roh++0Qg7QnFxOc+gxl$bxt&ID=^biqqO`V#*4kP&HSg_at+muSC|&jS+;C;oN2J(**Rtl6sK*6hJ<Yy|Q"
    "pyy84i~ACp7D6?c3|{-Y`_b$+NEle@}+FNfO;R*GGNT==^bXbh#oEMSvt_c>QayIrmex`H)J@%2)T|NT8(vVS<dtKb)pQv$tUH+Mm(W4s1zozX(2"
    "yCbqdvVfzop654;z(a)a)kRLM)N6A=T8(Y=&@e1=`hzodN__!qjp<(0LT2LFjM`7Cs;G^UWsDO`@&L(TLS=Gi!ldYU`?H*px(<tZmI?z*r#E&jyZ"
    "C#?K`h`1Lpsi67ITyD%ubTi4sfWXc4W0tJ;YsB1gG)j47(T2sm4}KM+k0Q?N9d7ZNXYodCrls^he71(B=V2T9H**VeY5Z%nA!<9fs001;F!cyI@1"
    "|T@DY@qGE<8(=BZ??T>A4YUBWp3gQ>wt9@Hj=)EMIq}2gp}8;<h+J?WEWxE#j%nf5v?N2Wf8Cn6W!hEnmYD=?YhUOgs>q*sf&rU{0aWH7r6MZere"
    "JRM2MmA`Zz<XtB7bT7%mNc#q3+rN(cMyj1y?Hlh{d+G(+Tn;zl@{mbqAsEEB(H3sivDSR&mHqkjgvs0OYdkos8>|gHFDp5kqF!w&ns05Q*aGLj}&"
    "p~SBWx5wVF4O1hSS2F=KyWS{W=@+PmeMjPom&!IAyU?24+~KZkMSZtcc{gXXNaj0ttg@j8kkS3q~CBx@H<=al&gr@2hl*)<Z+mFc^ivO#6||=v{Q"
    "5p^V^}{gUD+3e;MMb)POXnZ5UY3bj?N~eg1JB%`RmS&C~V{bT<w5@1g$4*GUTWv{(3h+Q8exLgneK);YRL{;t9L!2`W@=FYB44>#vP7tOSMe9sne"
    "4@}ncvOR+ww&G?DEQNRJFR_g_;T$zHr0Zb$lxcSbPsA#uTtS}$)F~=y8*Brn^^(ji?Jb4c$5WQPJV`P*tI@;JR^P+KN72j8FxB8_Im+7E(M}<o2U"
    "{5J%pHfis0Qj?lzQ`z9Q@TTF8W?Z?Z*KQN?$LH@b=PZJiJr`>u`~tAoVX6+-7RvcGhEZC0E!Wrc7<;)+A;Nmil};LqEgVfF-nwR!IG`nUO2V<0Vh"
    "^EzGK^4yDqkOK3BS#5U0Y?|<;cT}IVlYp0+-I{RL|RaQQ}!qm%Kq2_xly*$)fCr1m(-Pv6jOu9LDM-RPPrB;~QS(vyx`?;9t&0K^=<)Tt)9Taw2*"
    "}_sIt5vc_>20l2x~Pnj-qf0vNH6JxqqWY=O<}E*RGua}y{Aw~DrnRyRg{^fwZ=nZZm#i{^&Td$)SIgu$y{e{sxjADY4qmq=H8ZGCcch+bsswqFd4"
    "5OZ0G6S$3d^s>AaP0@HgpW8E741*WWrw?`>|dcChTGx7KJCYHJN_EQM^N7eXs*WK&@xtA$EPG8|2H8f%rQ-o=|_StwO1`NNlufJ&=SaB&J*D=ZXd"
    "Iz@k#xdaFcjhaZKC1|wJSau_GJA>NN!Ju{V>}TQY@2+(+^YHez8)W8V@9iJ#JlyP4chg>G-Te9v=&ttjQY*AdRe;jRvxn$u65u>QVejUnw(;~KQx"
    "7kt+S5xxLxrdH=ZkO{n=rP5+?%nRdH<TOz~mx+XyAbwm(UX0g_rb29eFn4n`z7N2dS6vx_&_`utD`>4ga`H{VG`<=UqVT37A}Aw4Py(&C5ff7+6H"
    "NF!iSs%xIV2n2=d?K&g7bDsccGc2_2QkTWQhe0I^af6z&-j3Cb`V<Vn&wyI`<2)zrNPG)Vh$iQogY-a_0N#=)H3ZE)pu~jK2_lL9u3(03Sg_e`g-"
    "{N<)&}orJt2vH+avgb8M(LEpA;~$1Q(u+{nfj30IfR;|bGX@0%3D&xBUDIi#P300$Pm4NS{iW%UuAGF%(v4`_DmNrGn1cj1^)XGb^&P(WL`t_qSc"
    ";1_11^SDzu)mFgOYmCr6Eml}=}FX0Fq#9rUi6-lVb8+V~9c^NE?@s5A}<_R`yXNBUai!sagyI;+?ym10UU9`pW}JJ~|`oMuW>cx0eiisWtM=I*Nw"
    "H9A{6D)a_L&!DA{KQV3=`!L+`cf{?bHaK@+yGW5T_?%?t;Bos95^U_Gh$yGfDjv{)d{P)kwIjHh*3i#n@NQ&Zbd{y!i~j#zkFP^B5z}p#xWUu1(v"
    "M9Y9Mr&lX~t`K8$YcUHLSfqsH?Dx2B#LnxQJBF>W@`+fu3&N-PAg*@33Gq?|?;Oxkw3(&V?c$sWHXeFx^l4kdXEd*OSVxHDQWkywSQHvH9$%?}<A"
    "|^mI#@-0K<xF67G$Vt8%BH8}W&U4fwz&c5+iaGxERYYkS38hku~jYbU;UhqyGTE^Bgu#PSD6)w%_{X}#yJmv*jjE{FtO)7??dQt{@-V<!!*v`M=q"
    "QczsD7c617EJC!y>tTA;w7CRheCGa(Gq)KzTFY1mm+RPCI_eR4#XCaZxx#bo8S?pn3NJ6G5Q?(HAtFvBn&dR_1J>lr1<_0Z=A_p;_QbYzLFE2CMJ"
    "(DW0Q-y?YtR7Ba6rooN$hM#yv#xXOYYKwy*fk%lJM!8SIg|BfJf}V7p)kuhlE~emw<OQ_ohZiHk~`Z0BqD0r>4`#4qBg(4FU3`<e$OxJPfrA~NlJ"
    "OL~Ki9H6wxd!eeLgvdN>rY)R>#NVX9j^V@9B^)4T&orE*Wztm)tYW9XimNoLjpv~ZD?m`tw=;8)e4a1#2$AQ7e3p!h;nPLq$GKHucngJ3Qop0{VY"
    "%>3N$2~8L~o-)DC_W!%o~wBBXUR~=K5`6Jug8@H^qz()_oDl^-QFc{xyiLL?x-Kxmd@PY*dIX#8k>fkbXIyaiFe+d!m0@EAR0ZjF}J`+d?hyZNUS"
    "M-gOx5Ja->6S>MQfo0PB_!M)Dm^Lp;^GcvD(k<DiCGiGML_@Nd{km%yOz&QO3%))z{{g}&ndeGQSVss&c=M2JXSX(;bkTQF+!a2SKD|pbm*xQP?q"
    "8a+3E5rq4OK#ax9W}9GdN2N=ly0p^i(0|?Ez~(Bb;>hdZZToeQ+z)OjLG2PStmY&B7?nAjU1-DPrJkquW^W(;@isKYN2W3$a_P~%oeV;-(SZ{=!U"
    "Ei3;Cg+XK<Z`_`DJUyNF4cP1oqlPL706ahq*_>M^{hR7DL-Z=Ytwp5m)Jce05Iea_hWpA@|jW;xu$%QzvPvDq4`u4Nd1*UqS~BRMMU1ckbf^ENF+"
    "L=o9m(}xc;bcHMg$6%(PF?m2f0+R!xYq{rRcZt0SFMwe|xL*zHO>8YCj%bFY+k)gd#tvlCIz-)MtGJ1E{JVTaR7l_GSvDDj>ILU8?lnKL6Y8f((j"
    "{eJ^a&cd3U_!CSunefl(6V62%9vyhi`1M<uQ!=Q)D7}5qrG>ZY9j@MnttCFo2VjbrrjWEN+L&7*U7K49lPl1h1#ZP<@vR+hTs{08{!H^$X5I$jp3"
    "9QXj<wsoyc0!^SIc;!{j8)`?n#T8vLz!l}-x6PLvY;-)TT$;#n5DBp_HJZ6)iSYrW?a#AWYQgK4uq<!eoOi{-eva4Vbyp#oSTrCR31N@G8BH|oUh"
    "9u8xhmB1crKNMs{*V{4kl2FNSST8#m6F`Wh|Qz>;*$=1Kj<8F&}}THfSI>&kgOijb_&Vi>~@(}@m3mBCJu`QT(9G#WBBGGJtpgarF?Xe?MB=etI6"
    "q`&=Ryt|5AhWpGr)qq<50rRUW}+G3KC1R-QvzJD+j|(NBbZKFuj6`55M|C*@@RZ|z%_{Lt-GL`C>R_?Pk$E22;1XDH&>3F{)qOo&c0YoynBNGljM"
    "rLZr>_!RX9q>C3~9s9T5iStT14-`U?64{Bt&76N6zuF0#F-ctzA3oY$#t=A)9<z8Me&X}tPrtQNfzZt;V?$qx1tD>PJ@l`*eRJG?6?ym#@@nq)LY"
    "z}pQMHh2*!}v%2eV0#ZewN<9h8Po*pF`R<1*<al>4un-QUU!U^9CAjNbZ8_o$ux?BoC+YxsHT$jeKk^zso_UP0v5V|e#S<@Y^(41OwGcXw;GjfH7"
    "<2PY>dXZ!BmT<zU$J?y=FzE*pvBUInI#CsZp2X7OloL>4BVu8N9%P^~j8RkcCN{g|VZqlsPl*<93p5`~Oj!nIR-rE@17VEC+c4yI?GWvz)Y^1a~Y"
    "bhH$XamKsq6N0^+I6pT=+oumIkWsIIA$1UWutF11}+gVnZ4I&7-P;N>x}NwE6iBKXDq0qlm#1TdNI!<bq~$7IDJxAwvc{U#}57~w$k`z*hlk!rnh"
    "tvO_X5q%Msn7=ZvwPyq9Nfq}g+Rrim+P8x>;%{pbGysOLgw"
)
