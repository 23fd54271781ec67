package bearer

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

// TestRecent holds that answers are kept within their number and time, and that the
// one used longest ago goes first.
func TestRecent(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	key := func(n int) tokenHash { return sha256.Sum256(fmt.Append(nil, n)) }
	r := newRecent[int](3)
	for n := range 1000 {
		r.put(key(0), 0, now.Add(time.Second)) // the same again takes no second place
		r.put(key(n), n, now.Add(time.Second))
		if r.order.Len() > 3 || len(r.index) != r.order.Len() {
			t.Fatalf("after %d: %d in order, %d in the index", n, r.order.Len(), len(r.index))
		}
	}
	r = newRecent[int](3)
	for n := range 3 {
		r.put(key(n), n, now.Add(time.Second))
	}
	if _, ok := r.get(key(0), now); !ok {
		t.Error("the first is gone")
	}
	r.put(key(3), 3, now.Add(time.Second))
	for n, want := range []bool{true, false, true, true} {
		if got, ok := r.get(key(n), now); ok != want || ok && got != n {
			t.Errorf("%d: %d, %v, want %v", n, got, ok, want)
		}
	}
	if _, ok := r.get(key(0), now.Add(time.Second)); ok || len(r.index) != 2 || r.order.Len() != 2 {
		t.Error("an answer was given at its end, or kept")
	}
}
