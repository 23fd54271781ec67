package integration

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	stallBound = 100 * time.Millisecond // in which a server with something to do answers nobody
	heldUp     = 5 * time.Millisecond   // what a sync or a sleep may take before it explains a stall
)

// meter measures every request that goes through it, and the times in which requests were
// under way and none was answered.
type meter struct {
	http.RoundTripper

	mu      sync.Mutex
	count   map[string]int             // by the last element of the path
	longest map[string]time.Duration   // at any number of connections
	alone   map[string][]time.Duration // while few connections are at work
	few     bool
	failed  []string

	underWay map[string]int
	waiting  int
	since    time.Time // the last answer, or the first request after a time without any
	stalls   []span
}

// span is a time in which something stood still.
type span struct {
	from, to time.Time
	what     string
}

func (s span) length() time.Duration { return s.to.Sub(s.from) }

func newMeter(through http.RoundTripper) *meter {
	return &meter{RoundTripper: through, count: map[string]int{}, longest: map[string]time.Duration{}, alone: map[string][]time.Duration{}, underWay: map[string]int{}}
}

func (m *meter) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", rand.IntN(256), rand.IntN(256), rand.IntN(256))) // one address alone is slowed down
	name := path.Base(r.URL.Path)
	for _, at := range []string{"interaction", "register"} { // an ID follows
		if strings.Contains(r.URL.Path, "/"+at+"/") {
			name = at
		}
	}
	if name == "interaction" && hasPassword(r) {
		name = "password"
	}
	began := m.begins(name)
	answer, err := m.RoundTripper.RoundTrip(r)
	m.ends(name, began)
	if err != nil {
		m.fails(fmt.Sprintf("%s: %v", name, err))
	} else if answer.StatusCode >= http.StatusInternalServerError {
		m.fails(fmt.Sprintf("%s: %s", name, answer.Status))
	}
	return answer, err
}

// hasPassword says whether a request brings a password, whose check is made to take long.
func hasPassword(r *http.Request) bool {
	if r.GetBody == nil {
		return false
	}
	body, err := r.GetBody()
	if err != nil {
		return false
	}
	defer body.Close()
	form, err := io.ReadAll(body)
	return err == nil && strings.Contains(string(form), "password=")
}

func (m *meter) begins(name string) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.waiting == 0 {
		m.since = now
	}
	m.waiting++
	m.underWay[name]++
	return now
}

func (m *meter) ends(name string, began time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if checked := len(m.underWay) == 1 && m.underWay["password"] > 0; now.Sub(m.since) > stallBound && !checked { // there is nobody else to answer
		m.stalls = append(m.stalls, span{m.since, now, fmt.Sprint(m.underWay)})
	}
	m.since = now
	m.waiting--
	if m.underWay[name]--; m.underWay[name] == 0 {
		delete(m.underWay, name)
	}
	took := now.Sub(began)
	m.count[name]++
	m.longest[name] = max(m.longest[name], took)
	if m.few {
		m.alone[name] = append(m.alone[name], took)
	}
}

func (m *meter) fails(how string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed = append(m.failed, how)
}

// with says how many connections are at work from now on.
func (m *meter) with(connections int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.few = connections <= 16
}

// requests returns how many there were.
func (m *meter) requests() (total int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.count {
		total += n
	}
	return total
}

// report tells how many requests there were and how long they took.
func (m *meter) report(t *testing.T) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(m.count)) {
		alone := "none of few"
		if took := slices.Sorted(slices.Values(m.alone[name])); len(took) > 0 {
			last := len(took) - 1
			alone = fmt.Sprintf("of up to 16 connections: p50 %v, p99.9 %v, the longest %v", rounded(took[last/2]), rounded(took[last*999/1000]), rounded(took[last]))
		}
		t.Logf("%-22s %8d requests, the longest %v; %s", name, m.count[name], rounded(m.longest[name]), alone)
	}
	t.Logf("%d requests in all", m.requests())
}

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// surroundings notes when the server could not go on whatever it is: when the disk stands
// still (a file beside the server's is written and synced all the time), when the load
// itself stands still (a short sleep), and when the server waits for a processor.
type surroundings struct {
	disk, load []span
	starved    []sample
	syncs      []time.Duration
	over       chan struct{}
	watching   sync.WaitGroup
	err        error
}

// sample is for how long of a time a process ran, and wanted a processor and had none.
type sample struct {
	span
	ran, starved time.Duration
}

// surround watches the folder of a process and the machine, until it is asked what it saw.
func surround(t *testing.T, p *process) *surroundings {
	t.Helper()
	file, err := os.Create(filepath.Join(p.dir, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	s := &surroundings{over: make(chan struct{})}
	s.watching.Go(func() {
		defer os.Remove(file.Name())
		defer file.Close()
		s.err = s.writes(file)
	})
	s.watching.Go(func() {
		for began := time.Now(); s.sleeps(time.Millisecond); began = time.Now() {
			if slept := (span{began, time.Now(), "a sleep"}); slept.length() > heldUp {
				s.load = append(s.load, slept)
			}
		}
	})
	s.watching.Go(func() { s.samples(p.cmd.Process.Pid) })
	t.Cleanup(s.ends)
	return s
}

// writes appends to a file, as the database grows, and syncs it, again and again.
func (s *surroundings) writes(file *os.File) error {
	const most = 16 << 20
	block := make([]byte, 4<<10)
	for at := int64(0); s.sleeps(10 * time.Millisecond); at += int64(len(block)) {
		if at == most {
			if err := file.Truncate(0); err != nil {
				return err
			}
			at = 0
		}
		began := time.Now()
		if _, err := file.WriteAt(block, at); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
		done := span{began, time.Now(), "a sync"}
		s.syncs = append(s.syncs, done.length())
		if done.length() > heldUp {
			s.disk = append(s.disk, done)
		}
	}
	return nil
}

// samples notes what a process wanted of the processors and did not get. While it has all
// of one processor it does not count as starved: what it does with it is its own affair.
func (s *surroundings) samples(pid int) {
	ran, waited := scheduled(pid)
	for from := time.Now(); s.sleeps(20 * time.Millisecond); {
		ranNow, waitedNow := scheduled(pid)
		now := time.Now()
		wall := now.Sub(from)
		busy := max(0, ranNow-ran) // a thread that has ended counts no more
		starved := min(wall-min(wall, busy), waitedNow-waited)
		s.starved = append(s.starved, sample{span{from, now, ""}, busy, max(0, starved)})
		from, ran, waited = now, ranNow, waitedNow
	}
}

// scheduled is for how long the threads of a process ran, and waited to run.
func scheduled(pid int) (ran, waited time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is well-formed
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		var on, off int64
		if _, err := fmt.Sscan(string(text), &on, &off); err == nil {
			ran, waited = ran+time.Duration(on), waited+time.Duration(off)
		}
	}
	return ran, waited
}

func (s *surroundings) sleeps(d time.Duration) bool {
	select {
	case <-s.over:
		return false
	case <-time.After(d):
		return true
	}
}

func (s *surroundings) ends() {
	select {
	case <-s.over:
	default:
		close(s.over)
	}
	s.watching.Wait()
}

// within is how much of a time other times cover, which may cover each other.
func within(of span, others []span) (covered time.Duration) {
	at := of.from
	for _, s := range slices.SortedFunc(slices.Values(others), func(a, b span) int { return a.from.Compare(b.from) }) {
		if part := (span{from: later(s.from, at), to: sooner(s.to, of.to)}); part.length() > 0 {
			covered, at = covered+part.length(), part.to
		}
	}
	return covered
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func sooner(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// explained is how much of a stall is not the server's: moment by moment the most of what
// the disk, the load and the processors were missing.
func (s *surroundings) explained(stall span) (all, starved, ran time.Duration) {
	disk, load := near(stall, s.disk), near(stall, s.load)
	for _, one := range s.starved {
		part := span{from: later(one.from, stall.from), to: sooner(one.to, stall.to)}
		if part.length() <= 0 {
			continue
		}
		share := func(d time.Duration) time.Duration {
			return time.Duration(float64(d) * float64(part.length()) / float64(one.length()))
		}
		all += max(share(one.starved), within(part, disk), within(part, load))
		starved, ran = starved+share(one.starved), ran+share(one.ran)
	}
	return all, starved, ran
}

// near are the times that touch another one.
func near(of span, all []span) []span {
	return slices.Collect(func(yield func(span) bool) {
		for _, s := range all {
			if s.from.Before(of.to) && s.to.After(of.from) && !yield(s) {
				return
			}
		}
	})
}

// judge tells the stalls, and what of each is not the server's. The rest is held to the
// bound if strict.
func (s *surroundings) judge(t *testing.T, stalls []span, strict bool) {
	t.Helper()
	s.ends()
	if s.err != nil {
		t.Fatal(s.err)
	}
	slices.Sort(s.syncs)
	if last := len(s.syncs) - 1; last >= 0 {
		t.Logf("a sync of 4 KiB beside the server: p50 %v, p99 %v, the longest %v; %d over %v",
			rounded(s.syncs[last/2]), rounded(s.syncs[last*99/100]), rounded(s.syncs[last]), len(s.disk), heldUp)
	}
	own := make(map[span]time.Duration, len(stalls))
	for _, stall := range stalls {
		all, _, _ := s.explained(stall)
		own[stall] = stall.length() - all
	}
	slices.SortFunc(stalls, func(a, b span) int { return int(own[b] - own[a]) })
	t.Logf("%d times nothing was answered for more than %v", len(stalls), stallBound)
	for i, stall := range stalls {
		if i < 10 {
			_, starved, ran := s.explained(stall)
			t.Logf("for %v, the server's own %v: the disk was still for %v, the load for %v; the server ran for %v and waited %v for a processor, with %s under way", rounded(stall.length()), rounded(own[stall]),
				rounded(within(stall, s.disk)), rounded(within(stall, s.load)), rounded(ran), rounded(starved), stall.what)
		}
		if strict && own[stall] > stallBound {
			t.Errorf("the server itself answered nobody for %v", own[stall])
		}
	}
}

// The disk and the machine explain what they cover, once, and no more.
func TestWithin(t *testing.T) {
	zero := time.Now()
	at := func(from, to int) span {
		return span{zero.Add(time.Duration(from)), zero.Add(time.Duration(to)), ""}
	}
	for _, c := range []struct {
		others []span
		want   time.Duration
	}{
		{nil, 0},
		{[]span{at(0, 10), at(20, 30)}, 0},
		{[]span{at(0, 30)}, 10},
		{[]span{at(18, 25), at(5, 12)}, 4},
		{[]span{at(11, 16), at(12, 14), at(15, 17)}, 6},
	} {
		if got := within(at(10, 20), c.others); got != c.want {
			t.Errorf("%v cover %v of it, not %v", c.others, got, c.want)
		}
	}
}
