/*
 * as_built.pml - what the code adds to the order of consent.pml (Spin 6.5.2)
 *
 * One sender, one program that withdraws (and recovers after a crash), another program whose Allow may be on its
 * way at the same time, a courier, the service, and an environment that may cut the power, kill the withdrawing
 * program, stop a sender, fill the disk for ever, make one fdatasync fail, lose an acknowledgement, revoke the
 * consent at the service, and restore the state directory (the vault too, if it likes) from an old copy.
 *
 *   page    tombstone and announced epoch: visible to all at once, durable by fdatasync      v: tomb, hint
 *   ledger  SQLite: a commit is atomic and durable, or it fails (full disk)                  l_*, note
 *   RAM     data key and counter of ended epochs: gone at a power cut                        key, ram
 *   vault   a second counter, raised when it can be reached: later, or never                 vault
 *
 * No flag = as built.  Each -D below is a wrong order or a missing part:
 *
 *   NO_TOMBSTONE_CHECK      the gate reads the ledger alone
 *   LEDGER_FIRST            no tombstone before the ledger's commit has succeeded
 *   NO_SYNC                 calls a tombstone durable that was never synced
 *   BELIEVE_FSYNC           tries a failed fdatasync again and believes its yes
 *   NO_TOMBSTONE_RECOVERY   recovery looks at the ledger alone
 *   MERGE_EARLY             "ended and erased" is one commit before the key is destroyed
 *   NO_ORPHANS              recovery looks for no data key without a grant
 *   ANSWER_BEFORE_KEY       the person is answered when the barrier is taken, not when the key is gone
 *   NO_REREAD               the record is not read again behind the barrier
 *   NO_COUNT                an Allow does not compare the count of withdrawals
 *   KEY_WITHOUT_LOCK        a missing key is made anew without the exclusive lock
 *   KEY_WITHOUT_CHECK       ... with the lock, without looking at the tombstone
 *   KEY_IGNORES_COUNTER     ... whatever the counter in RAM says
 *   NO_RAM_COUNTER          the gate ignores the counter in RAM
 *   NO_VAULT_COUNTER        the gate ignores the counter in the vault
 *   CHANGE_UNCOUNTED        a grant that replaces another does not tell the vault that the old epoch is over
 *   NO_ASK                  the service is not asked for its fence before the first send of a run
 *   NO_FENCE                the service takes positions of any epoch
 *   IGNORE_410              a 410 is treated like a failure of the network
 *   NOTICE_ROW_ONLY         the courier delivers what the ledger calls awake, a tombstone wakes nothing
 */
#ifndef POWER
#define POWER 0
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef ROLLBACKS
#define ROLLBACKS 0
#endif
#ifndef FULL
#define FULL 0
#endif
#ifndef FAILS
#define FAILS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef REVOKES
#define REVOKES 0
#endif
#ifndef ALLOWS
#define ALLOWS 0
#endif
#ifndef LOSSES
#define LOSSES 0
#endif
#ifndef PROGRAMS
#define PROGRAMS 1                               /* 2: both withdraw */
#endif
#ifndef CALLS
#define CALLS 1                                  /* 0: the person never withdraws */
#endif
#ifndef COURIER
#define COURIER 1                                /* 0: offline */
#endif
#define GONE   0
#define ASLEEP 1
#define AWAKE  2
#define MAX(a, b) (((a) > (b)) -> (a) : (b))

bit  l_given = 1; byte l_ep = 1; byte l_er = 0;  /* ledger: given?, epoch, highest epoch erased */
byte note[3];                                    /* ledger: the notice of each epoch */
byte tomb = 0, d_tomb = 0, hint = 1, d_hint = 1; /* page: visible, durable */
byte key = 1, ram = 0, vault = 0;
byte rd = 0, wr = 0;                             /* flock: shared count / who holds it alone */
byte count = 0;                                  /* page: withdrawals so far */
bit  nospace = 0;                                   /* the ledger's disk, for ever */
byte kb = 0, answer = 0;                         /* bytes in the sender's socket, by epoch; 1 = 202, 2 = 410 */
bit  stopped = 0, inside = 0;                    /* the sender: SIGSTOPped; between lock and release */
byte fence = 0; bit applied[3];                  /* service */
bit  refused = 0;                                /* the device has heard a 410 for epoch 1 */

byte returned = 0;     /* ghost: withdraw() said complete, up to this epoch; after a power cut what it called durable */
byte claimed = 0;      /* ghost: withdraw() said durable */
bit  called = 0, partial = 0;
byte calls = 0, done = 0; /* ghost: how often withdraw() was called, has returned */
byte granted = 1;      /* ghost: highest epoch ever granted */
byte known = 0;        /* ghost: the service's fence when this run began */
bit  rolled = 0, vrolled = 0, rebooted = 0;
byte gen = 0; bit k_w = 0;
byte power = POWER, kills = KILLS, rollbacks = ROLLBACKS, fails = FAILS, stops = STOPS, revokes = REVOKES;
byte losses = LOSSES, allows = ALLOWS;

#ifdef NO_TOMBSTONE_CHECK
# define TOMB_OK true
#else
# define TOMB_OK (tomb < l_ep)
#endif
#ifdef NO_RAM_COUNTER
# define RAM_OK true
#else
# define RAM_OK (ram < l_ep)
#endif
#ifdef NO_VAULT_COUNTER
# define VAULT_OK true
#else
# define VAULT_OK (vault < l_ep)
#endif
#define YES (l_given && TOMB_OK && RAM_OK && VAULT_OK)
/* Documented limit: state and reboot, and a vault that was restored too or never reached: only the service knows. */
#define BEYOND (rolled && rebooted && vault < returned)

/* one pwrite, then fdatasync: ok is what the writer may say about durability */
inline tombstone(x) {
  if :: atomic { tomb < x -> tomb = x } :: tomb >= x fi;
#ifdef NO_SYNC
  ok = 1
#else
  if
  :: d_step { d_tomb = tomb; d_hint = hint; ok = 1 }
  :: atomic { fails > 0 -> fails--;
# ifdef BELIEVE_FSYNC
     ok = 1                                     /* the kernel calls the page clean now */
# else
     ok = 0
# endif
     }
  fi
#endif
}

inline wake() { if :: note[1] == ASLEEP && tomb >= 1 -> note[1] = AWAKE :: else fi;
                if :: note[2] == ASLEEP && tomb >= 2 -> note[2] = AWAKE :: else fi }

inline commit_end(x, erased) {   /* one transaction of the ledger, or none */
  if
  :: nospace -> rec = 0
  :: atomic { !nospace -> wake(); if :: l_ep <= x -> l_given = 0; if :: erased -> l_er = l_ep :: else fi :: else fi;
       rec = 1 }
  fi
}

proctype Sender()
{ byte g, e; bit asked;
again:
  atomic { g = gen; asked = 0; e = 0 }
  {
    skip;
endq: atomic { YES -> e = l_ep };
#ifndef NO_ASK
    if
    :: asked -> skip
    :: else -> atomic { asked = 1;
         if :: fence < e - 1 -> fence = e - 1 :: else fi;              /* registering a newer grant */
         if :: fence >= e -> refused = 1; goto over :: else fi }
    fi;
#endif
    if
    :: key == e -> skip
    :: key != e ->
#ifdef KEY_WITHOUT_LOCK
       if :: tomb >= e -> goto over :: tomb < e fi;
#else
       atomic { (rd == 0 && wr == 0) -> wr = 3 };
# ifndef KEY_WITHOUT_CHECK
       if :: tomb >= e -> wr = 0; goto over :: tomb < e fi;
# endif
#endif
#ifdef KEY_IGNORES_COUNTER
       key = e;
#else
       if :: atomic { ram < e -> key = e } :: ram >= e fi;
#endif
#ifndef KEY_WITHOUT_LOCK
       wr = 0
#endif
    fi;
    atomic { wr == 0 -> rd++; inside = 1 };
    if :: YES && l_ep == e :: !(YES && l_ep == e) -> goto away fi;
    if :: key == e :: key != e -> goto away fi;
    (!stopped);
    atomic { answer = 0; kb = e };
    if
    :: kb == 0                                                        /* the answer is here */
    :: atomic { (tomb >= e && !stopped) -> kb = 0; answer = 0 }       /* cut */
    fi;
    (!stopped);
away: atomic { if :: inside -> inside = 0; rd-- :: else fi };
#ifndef IGNORE_410
    if :: atomic { answer == 2 -> answer = 0; refused = 1 } :: answer != 2 fi;
#else
    if :: atomic { answer == 2 -> answer = 0; refused = 1 } :: answer != 2 fi;
    goto ends;
#endif
over: skip
  } unless { gen != g };
ends: gen != g -> goto again
}

inline answer_person() {         /* withdraw() returns */
  atomic {
    told = 1; done++;
    assert(!(l_given && l_ep > tomb));                               /* an Allow that slipped in is over as well */
    returned = MAX(returned, e);
    if :: ok || rec -> claimed = MAX(claimed, e) :: else fi
  }
}

proctype Withdrawer(byte me)                     /* one program: the person's call, the service's 410, recovery */
{ byte g, e, snap; bit ok, rec, user, told;
again:
  atomic { g = gen; if :: me == 1 -> k_w = 0 :: else fi; e = 0; snap = l_ep; ok = 0; rec = 0; user = 0; told = 0 }
  {
#ifndef NO_TOMBSTONE_RECOVERY
    if :: l_given && tomb >= l_ep -> e = l_ep; goto barrier :: else fi;
#endif
    if :: !l_given && l_ep > l_er -> e = l_ep; goto barrier :: else fi;
#ifndef NO_ORPHANS
    if
    :: key > 0 && !(l_given && key == l_ep) -> atomic { (rd == 0 && wr == 0) -> wr = me };
       if :: key > 0 && !(l_given && key == l_ep) -> key = 0 :: else fi; wr = 0
    :: else
    fi;
#endif
endw0: if
#if CALLS
    :: atomic { calls < PROGRAMS -> calls++; called = 1; user = 1; e = MAX(hint, snap) }
#endif
#if defined(LTL2) || defined(LTL4)
    :: atomic { calls < PROGRAMS -> calls++ }                        /* never, or not again after a crash */
#endif
#ifndef IGNORE_410
    :: atomic { refused && l_given && l_ep == 1 && tomb == 0 -> refused = 0; e = 1 }
#endif
    fi;
#ifdef LEDGER_FIRST
    if :: user -> commit_end(e, 0); (rec == 1) :: else fi;
#endif
    tombstone(e);
    if
    :: user -> count++;
       if :: atomic { hint > e -> e = hint }; tombstone(e) :: hint <= e fi
    :: else
    fi;
    d_step { ram = MAX(ram, e) };
    if
    :: atomic { (ok && rd == 0 && wr == 0) -> wr = me }              /* on disk, and nobody in the way: one commit */
    :: !ok || rd > 0 || wr > 0 -> commit_end(e, 0);
barrier: do
       :: atomic { (rd == 0 && wr == 0) -> wr = me; break }
       :: atomic { (stopped && inside && user && !partial) -> partial = 1 } /* says so, names the pid, goes on */
       od
    fi;
#ifndef NO_REREAD
    if
    :: user && MAX(hint, l_ep) > e -> e = MAX(hint, l_ep); count++; tombstone(e); d_step { ram = MAX(ram, e) }
    :: else
    fi;
#endif
#ifdef MERGE_EARLY
    commit_end(e, 1);
#endif
#ifdef ANSWER_BEFORE_KEY
    if :: user && ok -> answer_person() :: else fi;
#endif
    if :: atomic { key <= e -> key = 0 } :: key > e fi;
    if
    :: user && ok && !told -> answer_person()                        /* before the history's entry, which follows */
    :: skip                                                          /* or with it: somebody else writes, no room */
    fi;
#ifndef MERGE_EARLY
    commit_end(e, 1);
#endif
    atomic { wr = 0; if :: user && !told -> answer_person() :: else fi };
    if :: atomic { vault = MAX(vault, e) } :: skip fi;               /* the vault: if it can be reached */
    e = 0; ok = 0; rec = 0; user = 0; told = 0; snap = l_ep;
    goto endw0
  } unless { (gen != g || (k_w && me == 1)) };
endw: (gen != g || (k_w && me == 1)) -> goto again
}

proctype Allower()                               /* another program: its person says Allow, at any time later */
{ byte g, shown, before, e; bit ok, rec;
again:
  atomic { g = gen; shown = count; before = calls; ok = 0; rec = 0; e = 0 }
  {
    skip;
enda: atomic { allows > 0 -> allows--; shown = count; before = calls };   /* the prompt opens */
    if :: atomic { (rd == 0 && wr == 0) -> wr = 2 } :: goto enda fi;     /* the answer, or none: busy, dismissed */
#ifndef NO_COUNT
    if :: count != shown -> goto void :: count == shown fi;
#endif
    if
    :: l_given && tomb < l_ep && (!RAM_OK || !VAULT_OK) -> goto void      /* rolled back: no grant */
    :: l_given && tomb >= l_ep -> commit_end(l_ep, 0); if :: rec == 0 -> goto void :: rec == 1 fi
    :: else
    fi;
    if :: l_given -> tombstone(l_ep) :: !l_given fi;                      /* a change: the old epoch ends first */
    d_step { ram = MAX(ram, l_ep) };
    if :: l_ep > l_er && key <= l_ep -> key = 0 :: else fi;
#ifndef CHANGE_UNCOUNTED
    d_step { vault = MAX(vault, l_ep) };
#else
    if :: !l_given -> d_step { vault = MAX(vault, l_ep) } :: else fi;
#endif
    e = 1 + MAX(MAX(l_ep, hint), MAX(tomb, MAX(ram, vault)));
    if :: e > 2 -> goto void :: e <= 2 fi;
    hint = e;
    if
    :: nospace -> skip
    :: atomic { !nospace ->
         assert(e > granted || BEYOND);                                   /* no epoch twice */
         assert(done <= before);                                          /* no Allow from before a withdrawal */
         if :: note[1] == ASLEEP -> note[1] = GONE :: else fi;
         l_given = 1; l_ep = e; note[e] = ASLEEP; granted = MAX(granted, e) };
       if :: atomic { ram < e -> key = e } :: ram >= e fi
    fi;
void: wr = 0;
    goto enda
  } unless { gen != g };
  if :: gen != g -> goto again :: else fi
}

#ifdef NOTICE_ROW_ONLY
# define PENDING(x) (note[x] == AWAKE)
#else
# define PENDING(x) (note[x] == AWAKE || (note[x] == ASLEEP && tomb >= x))
#endif
proctype Courier()
{ byte g, e;
again:
  g = gen;
  {
    skip;
endc: do
    :: atomic { PENDING(1) -> e = 1 };
       if
       :: atomic { losses > 0 -> losses--; if :: fence < e -> fence = e :: else fi; applied[e] = 1 } /* no answer */
       :: atomic { if :: fence < e -> fence = e :: else fi; applied[e] = 1 };
          if :: nospace -> skip :: atomic { !nospace -> note[e] = GONE } fi
       fi
    od
  } unless { gen != g };
  if :: gen != g -> goto again :: else fi
}

proctype Service()
{
end:
  do
  :: atomic { kb > 0 ->
       assert(returned < kb || BEYOND);            /* R3: nothing leaves after withdraw() said complete */
       assert(known < kb);                         /* R7: nor of an epoch that the service knew to be over before this run */
#ifndef NO_FENCE
       if :: fence >= kb -> answer = 2 :: else -> answer = 1 fi;
#else
       answer = 1;
#endif
       assert(answer == 2 || fence < kb);          /* R6: what is over is not taken */
       kb = 0 }
  od
}

inline restart() { gen++; rd = 0; wr = 0; inside = 0; stopped = 0; kb = 0; answer = 0; called = 0; calls = done; refused = 0;
                   known = fence; partial = 0 }

proctype Env()
{
end:
  do
  :: atomic { power > 0 -> power--; restart(); key = 0; ram = 0;
       if :: returned > 0 || granted > 1 -> rebooted = 1 :: else fi; returned = claimed;
       if :: skip :: tomb = d_tomb; hint = d_hint fi }                        /* what was not synced: there or not */
  :: atomic { kills > 0 -> kills--; k_w = 1; called = 0; calls = done; if :: wr == 1 -> wr = 0 :: else fi }
  :: atomic { rollbacks > 0 -> rollbacks--; restart(); rolled = 1;            /* the copy of the very beginning */
       l_given = 1; l_ep = 1; l_er = 0; note[1] = ASLEEP; note[2] = GONE; tomb = 0; d_tomb = 0; hint = 1; d_hint = 1;
       if :: skip :: vault = 0; vrolled = 1 fi }
#if FULL
  :: atomic { !nospace -> nospace = 1 }
#endif
  :: d_step { stops > 0 && inside && !stopped -> stops--; stopped = 1 }
  :: atomic { stopped -> stopped = 0 }                                        /* SIGCONT ... */
  :: stopped -> skip                                                          /* ... or never */
  :: d_step { revokes > 0 && fence == 0 -> revokes--; fence = 1 }
  od
}

active proctype Watch()
{
end:
  do
  :: atomic { (returned > 0 && key > 0 && key <= returned && !BEYOND) -> assert(key > returned) }    /* R4: no key ever after */
  :: atomic { (YES && l_ep <= returned && !BEYOND) -> assert(l_ep > returned) }             /* R5, R7: withdrawn stays withdrawn */
  :: atomic { (YES && l_ep < granted && !(rolled && rebooted && vrolled)) -> assert(l_ep >= granted) } /* R6, R7: nor what a change ended */
  od
}

init { atomic { note[1] = ASLEEP;
  run Sender(); run Withdrawer(1);
#if PROGRAMS > 1
  run Withdrawer(4);
#endif
#if ALLOWS
  run Allower();
#endif
#if COURIER
  run Courier();
#endif
  run Service(); run Env() } }

#ifdef LTL1
ltl l1 { [] (called -> <> (returned >= 1 || partial || !called)) }          /* withdraw() answers, full disk or not */
#endif
#ifdef LTL2
ltl l2 { [] ((d_tomb >= 1 && !rolled) -> <> (key != 1)) }                    /* what a crash interrupted is finished */
#endif
#ifdef LTL3
ltl l3 { [] (returned >= 1 -> <> applied[1]) }                               /* the service is told */
#endif
#ifdef LTL4
ltl l4 { [] (refused -> <> (tomb >= 1 || !l_given || l_ep > 1 || !refused)) }   /* a 410 closes the own gate */
#endif
