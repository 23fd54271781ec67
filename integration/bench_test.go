package integration

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage/bolt"
)

// The benchmarks go over HTTP on loopback to a store in one bbolt file with real
// syncs, as one caller and as 32 at once. Beside the time they tell how many commits
// and syncs one request cost.

// bench is a provider on a port.
type bench struct {
	*world
	http *http.Client
}

func newBench(b *testing.B) *bench {
	b.Helper()
	host := httptest.NewUnstartedServer(nil)
	w := start(b, plan{backend: "bolt", issuer: "http://" + host.Listener.Addr().String(), configure: func(c *server.Config) {
		c.Lifetimes.Code = 10 * time.Minute // the codes are made before the clock runs
	}})
	host.Config.Handler = w.handler
	host.Start()
	b.Cleanup(host.Close)
	return &bench{world: w, http: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 64, DialContext: (&net.Dialer{}).DialContext,
	}}}
}

// run lets callers send n requests in all and reports what one cost.
func (w *bench) run(b *testing.B, callers int, request func(caller, i int) (*reply, error)) {
	b.Helper()
	store := w.backend.(*bolt.Backend)
	before := store.Stats()
	var next atomic.Int64
	var failed atomic.Pointer[string]
	var done sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for caller := range callers {
		done.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				answer, err := request(caller, int(i))
				if err != nil || answer.status != http.StatusOK {
					text := fmt.Sprint(err, answer)
					failed.Store(&text)
					return
				}
			}
		})
	}
	done.Wait()
	b.StopTimer()
	if text := failed.Load(); text != nil {
		b.Fatal(*text)
	}
	after := store.Stats()
	b.ReportMetric(float64(after.Commits-before.Commits)/float64(b.N), "commits/op")
	b.ReportMetric(float64(after.Syncs-before.Syncs)/float64(b.N), "syncs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

func (w *bench) form(place, client string, fields url.Values) (*reply, error) {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": {basicHeader(client, w.clients[client].Secret)}}
	return send(w.http, http.MethodPost, w.endpoint(place), header, fields.Encode())
}

func (w *bench) redeem(client, code, verifier string) (*reply, error) {
	return w.form("token", client, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {w.redirectURI(client)}, "code_verifier": {verifier},
	})
}

func eachConcurrency(b *testing.B, one func(b *testing.B, w *bench, callers int)) {
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { one(b, newBench(b), callers) })
	}
}

func BenchmarkClientCredentials(b *testing.B) {
	eachConcurrency(b, func(b *testing.B, w *bench, callers int) {
		w.run(b, callers, func(int, int) (*reply, error) {
			return w.form("token", "machine", url.Values{"grant_type": {"client_credentials"}})
		})
	})
}

type issued struct{ code, verifier string }

func BenchmarkCodeExchange(b *testing.B) {
	eachConcurrency(b, func(b *testing.B, w *bench, callers int) {
		codes := make([]issued, b.N)
		alice := newPerson(w.issuer, w.http.Transport)
		if _, _, err := w.code(alice, "own", "alice", nil); err != nil {
			b.Fatal(err)
		}
		var next atomic.Int64
		together(32, func(int) struct{} {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				address, verifier := w.authorizeURL("own", nil)
				answer, err := send(alice.client, http.MethodGet, address, nil, "")
				if err != nil || answer.location() == nil {
					b.Errorf("no code: %v %s", err, answer)
					return struct{}{}
				}
				codes[i] = issued{answer.location().Query().Get("code"), verifier}
			}
			return struct{}{}
		})
		w.run(b, callers, func(_, i int) (*reply, error) { return w.redeem("own", codes[i].code, codes[i].verifier) })
	})
}

func BenchmarkRefresh(b *testing.B) {
	eachConcurrency(b, func(b *testing.B, w *bench, callers int) {
		chains := make([]string, callers)
		alice := newPerson(w.issuer, w.http.Transport)
		for i := range chains {
			code, verifier := w.mustCode(b, alice, "own")
			answer, err := w.redeem("own", code, verifier)
			if err != nil || answer.status != http.StatusOK {
				b.Fatal(err, answer)
			}
			chains[i] = answer.text("refresh_token")
		}
		w.run(b, callers, func(caller, _ int) (*reply, error) {
			answer, err := w.form("token", "own", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {chains[caller]}})
			if err == nil {
				chains[caller] = answer.text("refresh_token")
			}
			return answer, err
		})
	})
}

func benchAccess(b *testing.B, w *bench) string {
	b.Helper()
	code, verifier := w.mustCode(b, newPerson(w.issuer, w.http.Transport), "own")
	answer, err := w.redeem("own", code, verifier)
	if err != nil || answer.status != http.StatusOK {
		b.Fatal(err, answer)
	}
	return answer.text("access_token")
}

func BenchmarkIntrospection(b *testing.B) {
	eachConcurrency(b, func(b *testing.B, w *bench, callers int) {
		token := benchAccess(b, w)
		w.run(b, callers, func(int, int) (*reply, error) { return w.form("introspect", "own", url.Values{"token": {token}}) })
	})
}

func BenchmarkUserInfo(b *testing.B) {
	eachConcurrency(b, func(b *testing.B, w *bench, callers int) {
		header := http.Header{"Authorization": {"Bearer " + benchAccess(b, w)}}
		w.run(b, callers, func(int, int) (*reply, error) {
			return send(w.http, http.MethodGet, w.endpoint("userinfo"), header, "")
		})
	})
}
