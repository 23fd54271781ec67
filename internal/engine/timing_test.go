package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// TestFailuresTakeTheSameTime: how long a refusal takes does not tell whether the client
// exists, has a secret, or may authenticate in this way, neither where all secrets are
// fast to check nor where one of them is slow. Medians of turns are compared, so that
// whatever else the machine does hits all alike.
func TestFailuresTakeTheSameTime(t *testing.T) {
	for name, c := range map[string]struct {
		slow  bool
		turns int
		share float64 // by which part of the shorter medians may differ, if it is more than 1 ms
	}{
		"fast secrets":   {turns: 500, share: 0.05},
		"one slow among": {turns: 5, slow: true, share: 3}, // without its hash a refusal takes a thousandth
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			machine := []string{"client_credentials"}
			w.addConfidential(storage.Client{ID: "known", GrantTypes: machine})
			w.addConfidential(storage.Client{ID: "pinned", GrantTypes: machine, TokenEndpointAuthMethod: "client_secret_post"})
			w.add(publicClient())
			if c.slow {
				if _, err := w.secrets.Bring("a-secret-of-somebody's-choosing", w.now()); err != nil {
					t.Fatal(err)
				}
			}
			const wrong = "dws_0123456789abcdef0123456789abcdef0123456789a"
			failures := map[string]engine.Credentials{
				"an unknown client":        {ClientID: "nobody", Secret: wrong, Method: "client_secret_basic"},
				"a wrong secret":           {ClientID: "known", Secret: wrong, Method: "client_secret_basic"},
				"the wrong method":         {ClientID: "pinned", Secret: wrong, Method: "client_secret_basic"},
				"a secret of a public one": {ClientID: "spa", Secret: wrong, Method: "client_secret_basic"},
			}
			var apart string
			for range 3 { // a machine that is busy with other things may be so again
				if apart = differ(w, failures, c.turns, c.share); apart == "" {
					return
				}
			}
			t.Error(apart)
		})
	}
}

// differ measures refusals in turns, and says which take another time than the first.
func differ(w *world, failures map[string]engine.Credentials, turns int, share float64) string {
	took := map[string][]time.Duration{}
	for range turns {
		for name, by := range failures { // in another order each time
			begin := time.Now()
			_, refusal := w.ask(by)
			took[name] = append(took[name], time.Since(begin))
			refused(w.t, refusal, "invalid_client", refusal.Reason)
		}
	}
	median := func(name string) time.Duration {
		slices.Sort(took[name])
		return took[name][turns/2]
	}
	const first = "an unknown client"
	want := median(first)
	for name := range failures {
		got := median(name)
		w.t.Logf("%s: %s", name, got)
		if (got - want).Abs() > max(time.Millisecond, time.Duration(share*float64(min(got, want)))) {
			return name + " takes " + got.String() + ", " + first + " " + want.String()
		}
	}
	return ""
}
