package integration

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
)

// soaked is the real binary under everything that clients and people do, for long.
type soaked struct {
	*process
	meter *meter
	alice *person // signed in

	typing sync.Mutex

	memory, bytes, asked []int // of the process, its file and its clients, at rest after each round

	mu     sync.Mutex
	errors []error // the first ones
}

// newSoaked starts the binary with all that a mixed run uses, and without the limits that
// one address has. Unless kept is 0, tokens live no longer than that, so that soon as many
// end as are issued; what has ended is in the file for a day more.
func newSoaked(t *testing.T, kept time.Duration) *soaked {
	t.Helper()
	dir := t.TempDir()
	s := &soaked{process: launch(t, dir)}
	s.kill()
	box := storage.Client{
		ID: "box", Secret: "secret-of-box-0123456789abcdef", Scope: "openid offline_access notes:read", FirstParty: true,
		GrantTypes: []string{storage.GrantDeviceCode, storage.GrantRefreshToken},
	}
	s.clients[box.ID] = &box
	alter(t, filepath.Join(dir, "idp.yaml"), func(file map[string]any) {
		file["clients"] = append(file["clients"].([]any), map[string]any{
			"client_id": box.ID, "client_secret": string(box.Secret), "scope": box.Scope, "first_party": true, "grant_types": box.GrantTypes,
		})
		file["features"] = map[string]bool{"device": true}
		file["limits"] = map[string]int{"begun": -1, "grants": -1}
		file["registration"] = map[string]any{"endpoint": "open", "per_address": 10_000_000, "in_all": 10_000_000}
		file["proxies"] = []string{"127.0.0.0/8", "::1/128"}
		file["log"] = map[string]string{"level": "warn"}
		if kept > 0 {
			file["lifetimes"] = map[string]string{
				"code": kept.String(), "access_token": kept.String(), "jwt_access_token": kept.String(), "device_code": kept.String(),
				"interaction": kept.String(), "refresh_idle": kept.String(), "refresh_absolute": kept.String(),
			}
		}
	})
	s.meter = newMeter(&http.Transport{MaxIdleConnsPerHost: 256, ResponseHeaderTimeout: ample})
	s.transport = s.meter
	s.run(t)
	s.meter.failed = nil // before it listened
	s.alice = s.person()
	s.mustTokens(t, s.alice, "own")
	s.mustCode(t, s.alice, "web") // with consent
	return s
}

// again is alice at one more browser: one alone has few pages of sign-ins open at a time.
func (s *soaked) again() (*person, error) {
	place, err := url.Parse(s.endpoint("authorize"))
	if err != nil {
		return nil, err
	}
	p := s.person()
	p.client.Jar.SetCookies(place, s.alice.client.Jar.Cookies(place))
	return p, nil
}

// wants is an error unless a request was answered as it should be.
func wants(answer *reply, err error, is func(*reply) bool) (*reply, error) {
	if err == nil && !is(answer) {
		err = fmt.Errorf("answered by %s", answer)
	}
	return answer, err
}

func created(r *reply) bool { return r.status == http.StatusCreated }

// redeem follows an authorize URL as somebody who is signed in, to tokens.
func (s *soaked) redeem(client, address, verifier string) (*reply, error) {
	answer, err := send(s.alice.client, http.MethodGet, address, nil, "")
	if answer, err = wants(answer, err, redirectsWith("code")); err != nil {
		return nil, err
	}
	answer, err = s.exchange(client, answer.location().Query().Get("code"), verifier, nil)
	return wants(answer, err, ok)
}

// flow is a sign-in of somebody who is signed in, with all that may follow it.
func (s *soaked) flow() error {
	client := []string{"own", "web", "strict", "until", "fixed"}[rand.IntN(5)]
	address, verifier := s.authorizeURL(client, nil)
	tokens, err := s.redeem(client, address, verifier)
	for range rand.IntN(3) {
		if err == nil {
			tokens, err = s.refresh(client, tokens.text("refresh_token"), nil)
			tokens, err = wants(tokens, err, ok)
		}
	}
	if err != nil {
		return err
	}
	access := tokens.text("access_token")
	active := func(is string) func(*reply) bool {
		return func(r *reply) bool { return ok(r) && r.text("active") == is }
	}
	for range rand.IntN(4) {
		answer, err := s.post("introspect", client, url.Values{"token": {access}})
		if _, err = wants(answer, err, active("true")); err != nil {
			return err
		}
		answer, err = send(s.alice.client, http.MethodGet, s.endpoint("userinfo"), http.Header{"Authorization": {"Bearer " + access}}, "")
		if _, err = wants(answer, err, ok); err != nil {
			return err
		}
	}
	if rand.IntN(2) == 0 {
		answer, err := s.post("revoke", client, url.Values{"token": {tokens.text("refresh_token")}})
		if _, err = wants(answer, err, ok); err != nil {
			return err
		}
		answer, err = s.post("introspect", client, url.Values{"token": {access}})
		_, err = wants(answer, err, active("false"))
		return err
	}
	return nil
}

// login is a sign-in with a name and a password.
func (s *soaked) login() error {
	code, verifier, err := s.code(s.person(), "own", "alice", nil)
	if err != nil {
		return err
	}
	answer, err := s.exchange("own", code, verifier, nil)
	_, err = wants(answer, err, ok)
	return err
}

func (s *soaked) credentials() error {
	answer, err := s.post("token", "machine", url.Values{"grant_type": {"client_credentials"}})
	_, err = wants(answer, err, ok)
	return err
}

// pushed is a sign-in by a request that was pushed beforehand.
func (s *soaked) pushed() error {
	_, verifier := s.authorizeURL("own", nil)
	answer, err := s.post("par", "own", s.authorizeParams("own", verifier, nil))
	if answer, err = wants(answer, err, created); err != nil {
		return err
	}
	query := url.Values{"client_id": {"own"}, "request_uri": {answer.text("request_uri")}}
	_, err = s.redeem("own", s.endpoint("authorize")+"?"+query.Encode(), verifier)
	return err
}

// device is a sign-in on a device.
func (s *soaked) device() error {
	begun, err := s.post("device_authorization", "box", url.Values{"scope": {"openid offline_access"}})
	if begun, err = wants(begun, err, ok); err != nil {
		return err
	}
	who, err := s.again()
	if err != nil {
		return err
	}
	if _, err := who.open(begun.text("verification_uri_complete")); err != nil {
		return err
	}
	s.typing.Lock() // nobody types many codes at the same moment, but who guesses
	_, err = who.submit(nil)
	s.typing.Unlock()
	if err != nil {
		return err
	}
	answer, err := who.submit(url.Values{"decision": {"allow"}})
	if _, err = wants(answer, err, ok); err != nil {
		return err
	}
	answer, err = s.post("token", "box", url.Values{"grant_type": {storage.GrantDeviceCode}, "device_code": {begun.text("device_code")}})
	_, err = wants(answer, err, ok)
	return err
}

// registration is a client that comes, looks at itself and goes.
func (s *soaked) registration() error {
	made, err := s.registers(http.MethodPost, s.endpoint("register"), "", `{"redirect_uris":["https://new.test/cb"],"scope":"openid"}`)
	if made, err = wants(made, err, created); err != nil {
		return err
	}
	at, token := made.text("registration_client_uri"), made.text("registration_access_token")
	answer, err := s.registers(http.MethodGet, at, token, "")
	if _, err = wants(answer, err, ok); err != nil {
		return err
	}
	answer, err = s.registers(http.MethodDelete, at, token, "")
	_, err = wants(answer, err, func(r *reply) bool { return r.status == http.StatusNoContent })
	return err
}

// keys is what every client fetches now and then.
func (s *soaked) keys() error {
	for _, place := range []string{"jwks", "/.well-known/openid-configuration"} {
		answer, err := send(s.alice.client, http.MethodGet, s.endpoint(place), nil, "")
		if _, err = wants(answer, err, ok); err != nil {
			return err
		}
	}
	return nil
}

// busy has so many connections at work for some time.
func (s *soaked) busy(connections int, during time.Duration) {
	works := []func() error{s.flow, s.flow, s.flow, s.flow, s.credentials, s.credentials, s.pushed, s.device, s.registration, s.keys}
	s.meter.with(connections)
	until := time.Now().Add(during)
	var all sync.WaitGroup
	for i := range connections {
		all.Go(func() {
			next := i
			for first := true; first || time.Now().Before(until); first = false {
				work := works[next%len(works)]
				if next++; i == 0 && next%20 == 0 { // a password costs what it should
					work = s.login
				}
				if err := work(); err != nil {
					s.mu.Lock()
					s.errors = append(s.errors[:min(len(s.errors), 9)], err)
					s.mu.Unlock()
				}
			}
		})
	}
	all.Wait()
}

// goroutines ends the process and counts what ran in it.
func (s *soaked) goroutines() int {
	s.output.forget()
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	<-s.exited
	return strings.Count(s.output.String(), "\ngoroutine ")
}

// rest closes all connections and notes what the process holds without them.
func (s *soaked) rest(t *testing.T, files int) {
	t.Helper()
	s.meter.RoundTripper.(*http.Transport).CloseIdleConnections()
	await(t, "the connections are closed", func() bool { return s.descriptors(t) <= files+8 })
	file, err := os.Stat(filepath.Join(s.dir, "doorward.db"))
	if err != nil {
		t.Fatal(err)
	}
	s.memory, s.bytes, s.asked = append(s.memory, s.anonymous(t)), append(s.bytes, int(file.Size())), append(s.asked, s.meter.requests())
}

// quarters returns the mean of a figure in the second quarter, the first in which all that
// lives for a while has begun to end, and in the last.
func quarters(figures []int) (before, after int) {
	mean := func(of []int) (sum int) {
		for _, n := range of {
			sum += n
		}
		return sum / len(of)
	}
	quarter := len(figures) / 4
	return mean(figures[quarter : 2*quarter]), mean(figures[len(figures)-quarter:])
}

// steady holds what grows with the work to grow no faster than that. What has ended is
// kept for a day, so the file grows with each request, as much by the last as by the first.
// For each page that was written since its start and is still in use bbolt remembers by
// which commit: some 30 bytes, five times that with garbage not yet collected.
func (s *soaked) steady(t *testing.T, percent int) {
	t.Helper()
	t.Logf("requests, bytes of the file and of RssAnon after each of %d rounds: %d, %d, %d", len(s.asked), s.asked, s.bytes, s.memory)
	if len(s.asked) < 8 {
		return
	}
	const step = 16 << 20 // by which bbolt makes it longer
	half, last := len(s.asked)/2, len(s.asked)-1
	first := (s.bytes[half] - s.bytes[0]) / (s.asked[half] - s.asked[0])
	second := (s.bytes[last] - s.bytes[half] - step) / (s.asked[last] - s.asked[half])
	t.Logf("the file: %d bytes for a request in the first half, at least %d in the second", first, second)
	if second > first+first/4 {
		t.Errorf("the file grows faster: by %d bytes for a request, then by %d", first, second)
	}
	before, after := quarters(s.memory)
	small, large := quarters(s.bytes)
	pages := (large - small) / os.Getpagesize()
	most := before + before*percent/100 + 8<<20 + 5*30*max(0, pages)
	t.Logf("RssAnon: %d bytes in the second quarter, %d in the last (%+.1f %%), while the file grew by %d pages", before, after, 100*float64(after-before)/float64(before), pages)
	if after > most {
		t.Errorf("RssAnon grew from %d to %d, by more than the pages of the file explain: %d", before, after, most)
	}
}

// TestSoak has 1 to 256 connections do everything that clients and people do, against the
// real binary on a file, for DOORWARD_SOAK seconds, by turns. Nothing fails, and what the
// process holds at rest grows neither in memory nor in connections. In the long form there
// is no time in which requests wait and none is answered, but for what the disk and the
// machine were to blame for, and each request makes the file longer by no more than the
// first ones did.
func TestSoak(t *testing.T) {
	few := 2
	if testing.Short() {
		few = 1
	}
	seconds := demanded(t, "DOORWARD_SOAK", few)
	long := seconds >= 60
	during := time.Duration(seconds) * time.Second
	var kept time.Duration
	if long {
		kept = min(max(during/20, 15*time.Second), 2*time.Minute)
	}
	s := newSoaked(t, kept)
	s.meter.RoundTripper.(*http.Transport).CloseIdleConnections()
	files := s.descriptors(t)
	around := surround(t, s.process)
	s.meter.stalls = nil
	levels := []int{1, 4, 16, 64, 256}
	cycles := min(max(2, seconds/15), 40)
	for range cycles {
		for _, connections := range levels {
			s.busy(connections, during/time.Duration(cycles*len(levels)))
		}
		s.rest(t, files)
	}
	for _, err := range s.errors {
		t.Error(err)
	}
	if failed := s.meter.failed; len(failed) > 0 {
		t.Errorf("%d requests failed: %q", len(failed), failed[:min(len(failed), 10)])
	}
	if said := s.output.String(); strings.Contains(said, "level=ERROR") {
		t.Errorf("the log has errors:\n%.4000s", said)
	}
	around.judge(t, s.meter.stalls, long)
	growth := 25
	if seconds >= 600 {
		growth = 5
	}
	s.steady(t, growth)
	s.meter.report(t)
	for _, name := range []string{"authorize", "token", "introspect", "userinfo", "revoke", "par", "device_authorization", "register", "interaction"} {
		if s.meter.count[name] == 0 {
			t.Errorf("nobody came to %s", name)
		}
	}
	if n := s.goroutines(); n < 2 || n > 64 {
		t.Errorf("%d goroutines were left", n)
	} else {
		t.Logf("%d goroutines at rest", n)
	}
}
