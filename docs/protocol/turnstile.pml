/*
 * turnstile.pml - who waits for whom at the two flocks (Spin 6.5.2)
 *
 * Senders that follow one another without a pause, so that the main lock is never free of them, and one withdrawer.
 * The kernel's flock is not fair, and everybody polls.  Passing the turnstile is one step here: a sender waits
 * inside it for nobody, because whoever holds the main lock alone holds the turnstile too.
 *
 * No flag = as built.  Each -D below is a wrong order:
 *
 *   NO_TURNSTILE     the withdrawer waits at the main lock alone
 *   MAIN_FIRST       the withdrawer takes the main lock before the turnstile
 *   TURNSTILE_FILE   the turnstile is a file that exists, not a lock: its holder's death does not free it
 */
#ifndef N
#define N 2
#endif
#ifndef KILLS
#define KILLS 1
#endif

byte sending = 0;                   /* main lock, shared */
bit  turnstile = 0, alone = 0;      /* held exclusively */
bit  wants = 0, got = 0, dead = 0;
byte kills = KILLS;

proctype Sender()
{
end:
  do
  :: atomic { (!turnstile && !alone) -> sending++ };
     sending--
  od
}

proctype Withdrawer()
{
  {
    wants = 1;
#if defined(NO_TURNSTILE)
    atomic { (sending == 0) -> alone = 1 };
#elif defined(MAIN_FIRST)
    atomic { (sending == 0) -> alone = 1 };
    atomic { !turnstile -> turnstile = 1 };
#else
    atomic { !turnstile -> turnstile = 1 };
    atomic { (sending == 0) -> alone = 1 };
#endif
    got = 1;
    assert(sending == 0);
    alone = 0;
    turnstile = 0
  } unless { dead };
  skip
}

proctype Env()
{
end:
  do
  :: atomic { kills > 0 && wants && !got -> kills--; dead = 1; alone = 0;
#ifndef TURNSTILE_FILE
       turnstile = 0
#endif
     }
  :: kills > 0 -> kills--                          /* or nobody kills it */
  od
}

init {
  byte i;
  atomic { i = 0; do :: i < N -> run Sender(); i++ :: i >= N -> break od; run Withdrawer(); run Env() }
}

#ifdef LTL1
ltl l1 { [] (wants -> <> (got || dead)) }          /* a withdrawer gets in, however busy the senders are */
#endif
#ifdef LTL2
ltl l2 { [] ((got || dead) -> <> (sending > 0)) }  /* and leaves nothing behind, dead or alive */
#endif
