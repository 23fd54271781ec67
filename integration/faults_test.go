package integration

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/storagetest"
)

// attempt is one request that a store may let down, and what must hold of it.
type attempt struct {
	request func() (*reply, error)
	again   func() (*reply, error) // how a client tries anew; nil: the same request
	good    func(*reply) bool      // the answer when nothing goes wrong; nil: 200
	holds   func(*reply) error     // what a good answer promises; nil: nothing more
	once    bool                   // of the request and its retry one alone may succeed
	browser bool                   // who asks is a person, to be told by a page
}

// flow makes attempts, each on a state of its own.
type flow struct {
	name  string
	begin func(s *frailty) *attempt
}

// frailty is a world whose store goes wrong on demand.
type frailty struct {
	*world
	t     *testing.T
	store *storagetest.Faulty
	robot *robot
}

// patience is what a request may take when the store is late.
const patience = 50 * time.Millisecond

// newFrailty has every flow there is turned on.
func newFrailty(t *testing.T) *frailty {
	t.Helper()
	s := &frailty{t: t, robot: newRobot(t)}
	s.world = start(t, plan{
		between: func(d durable) durable {
			s.store = storagetest.NewFaulty(d)
			return s.store
		},
		configure: func(c *server.Config) {
			withDevices(c)
			own := *c.Clients[slices.IndexFunc(c.Clients, func(c storage.Client) bool { return c.ID == "own" })].Clone()
			own.ID, own.AccessTokenFormat, own.Secret = "jot", storage.AccessTokenJWT, "secret-of-jot-0123456789abcdef"
			c.Clients = append(c.Clients, own, s.robot.client(), storage.Client{
				ID: "swap", Secret: "secret-of-swap-0123456789abcdef", Scope: "notes:read", DefaultScope: "notes:read",
				GrantTypes: []string{grantOfOurs, storage.GrantRefreshToken},
			})
			c.Grants = []handlers.Grant{{Type: grantOfOurs, Exchange: func(_ context.Context, r *handlers.GrantRequest) (*handlers.GrantResult, error) {
				return &handlers.GrantResult{Subject: handlers.Subject{ID: "alice"}, Scopes: r.Scopes, Refresh: true}, nil
			}}}
		},
	})
	s.robot.w = s.world
	return s
}

const grantOfOurs = "https://doorward.test/grant"

// TestFaults lets every call to the store that any flow makes go wrong, in every way,
// one at a time. Each answer is a success that is stored or a 503 that says when to come
// again; then coming again works, and nothing works twice. RFC 6749 §10.5, RFC 7009
// §2.2.1, RFC 9110 §15.6.4
func TestFaults(t *testing.T) {
	for _, f := range flows() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := newFrailty(t)
			reads, writes := s.baseline(f)
			for _, kind := range storagetest.FaultKinds() {
				if kind == storagetest.Late && testing.Short() {
					continue // it waits
				}
				calls := writes
				if kind == storagetest.Unavailable || kind == storagetest.Late {
					calls = reads + writes
				}
				for n := 1; n <= calls; n++ {
					s.trial(f, storagetest.Fault{Kind: kind, Call: n, Wait: 2 * patience})
					if t.Failed() {
						return
					}
				}
			}
		})
	}
}

// baseline runs a flow with a sound store and counts its calls.
func (s *frailty) baseline(f flow) (reads, writes int) {
	s.t.Helper()
	a := f.begin(s)
	s.advance(11 * time.Second) // what is cached is stale
	s.store.Arm(storagetest.Fault{})
	answer, err := a.request()
	all, writes := s.store.Calls()
	if err != nil || !a.isGood(answer) {
		s.t.Fatalf("without any fault: %v, %s", err, answer)
	}
	if err := a.kept(answer); err != nil {
		s.t.Fatalf("without any fault: %v", err)
	}
	if all == 0 {
		s.t.Fatal("the flow asks nothing of the store; it proves nothing")
	}
	return all - writes, writes
}

func (a *attempt) isGood(answer *reply) bool {
	if a.good == nil {
		return answer.status == http.StatusOK
	}
	return a.good(answer)
}

func (a *attempt) kept(answer *reply) error {
	if a.holds == nil {
		return nil
	}
	return a.holds(answer)
}

// trial runs a flow with one fault, and again without.
func (s *frailty) trial(f flow, fault storagetest.Fault) {
	s.t.Helper()
	what := fmt.Sprintf("%s at call %d", fault.Kind, fault.Call)
	a := f.begin(s)
	s.advance(11 * time.Second)
	if fault.Kind == storagetest.Late {
		s.patience.Store(int64(patience))
	}
	s.store.Arm(fault)
	first, err := a.request()
	fired := s.store.Fired()
	s.store.Arm(storagetest.Fault{})
	s.patience.Store(0)
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	succeeded := a.isGood(first)
	switch {
	case succeeded:
		if err := a.kept(first); err != nil {
			s.t.Errorf("%s: the answer is a success, but %v", what, err)
		}
		if !a.once {
			return
		}
	case !fired && fault.Kind != storagetest.Late: // a busy machine is late by itself
		s.t.Errorf("%s: there was no such call, and the answer is %s", what, first)
	default:
		s.holdFailure(what, a, first)
	}
	again := a.request
	if a.again != nil {
		again = a.again
	}
	second, err := again()
	if err != nil {
		s.t.Fatalf("%s: once more: %v", what, err)
	}
	uncertain := fault.Kind == storagetest.UncertainWritten || fault.Kind == storagetest.UnknownWritten
	switch good := a.isGood(second); {
	case second.status >= http.StatusInternalServerError:
		s.t.Errorf("%s: once more, with a sound store: %s", what, second)
	case succeeded && a.once && good:
		s.t.Errorf("%s: it worked twice: %s", what, second)
	case !succeeded && !good && !uncertain:
		s.t.Errorf("%s: nothing was stored, and trying again fails: %s", what, second)
	case !succeeded && good:
		if err := a.kept(second); err != nil {
			s.t.Errorf("%s: once more: the answer is a success, but %v", what, err)
		}
	}
}

// holdFailure holds an answer to what a failing store is answered by.
func (s *frailty) holdFailure(what string, a *attempt, answer *reply) {
	s.t.Helper()
	html := strings.HasPrefix(answer.header.Get("Content-Type"), "text/html")
	to := answer.location()
	switch {
	case to != nil && to.Query().Get("error") == "temporarily_unavailable" && answer.at.Query().Get("prompt") == "none":
		// A request without a page is answered to its client. OpenID Connect Core §3.1.2.6
	case answer.status != http.StatusServiceUnavailable:
		s.t.Errorf("%s: neither a success nor a 503: %s", what, answer)
	case answer.header.Get("Retry-After") == "":
		s.t.Errorf("%s: a 503 that does not say when to come again: %s", what, answer)
	case a.browser != html:
		s.t.Errorf("%s: the answer is %s: %s", what, answer.header.Get("Content-Type"), answer)
	case slices.ContainsFunc([]string{"access_token", "refresh_token", "code", "request_uri", "device_code"}, func(name string) bool { return answer.text(name) != "" }):
		s.t.Errorf("%s: a 503 that gives something: %s", what, answer)
	}
}
