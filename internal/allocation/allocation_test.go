package allocation

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var kept [][]byte

// allocating makes n allocations a call.
func allocating(name string, n int) Operation {
	return Operation{Name: name, Prepare: func(int) { kept = make([][]byte, 0, 64<<10) }, Run: func() error {
		for range n {
			kept = append(kept, make([]byte, 100))
		}
		return nil
	}}
}

func TestCount(t *testing.T) {
	if race {
		t.Skip("the race detector allocates too")
	}
	for _, want := range []int{0, 1, 17, 300} {
		got, err := Count(allocating("some", want))
		if err != nil || got < float64(want) || got > float64(want)+0.5 {
			t.Errorf("%d allocations were counted as %v, %v", want, got, err)
		}
	}
	broken := errors.New("it does not work")
	if _, err := Count(Operation{Name: "broken", Run: func() error { return broken }}); !errors.Is(err, broken) {
		t.Errorf("an operation that fails: %v", err)
	}
}

func TestCompare(t *testing.T) {
	recorded := Record{Names: []string{"few", "many", "gone"}, Counts: map[string]float64{"few": 10, "many": 1000, "gone": 1}}
	for _, c := range []struct {
		name      string
		few, many float64
		want      []string
	}{
		{"as recorded", 10, 1000, nil},
		{"within the tolerance", 12, 1030, nil},
		{"fewer", 1, 1, nil},
		{"few more", 12.5, 1000, []string{"few: makes 12 allocations, 2 more than the 10"}},
		{"many more", 10, 1031, []string{"many: makes 1031 allocations, 31 more than the 1000"}},
	} {
		found := Record{Names: []string{"few", "many", "gone"}, Counts: map[string]float64{"few": c.few, "many": c.many, "gone": 1}}
		told(t, c.name, Compare(recorded, found), c.want)
	}
	found := Record{Names: []string{"few", "many", "new"}, Counts: map[string]float64{"few": 10, "many": 1000, "new": 5}}
	told(t, "another list", Compare(recorded, found), []string{"new: makes 5 allocations", "gone: there is no such operation"})
}

func told(t *testing.T, name string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %q, want %q", name, got, want)
		return
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%s: %q, want it to begin with %q", name, got[i], want[i])
		}
	}
}

func TestRecord(t *testing.T) {
	r := Record{Machine: Machine(), Names: []string{"an operation, with words", "b"}, Counts: map[string]float64{"an operation, with words": 12345678, "b": 0}}
	back, err := Parse(r.Text())
	if diff := cmp.Diff(r, back); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, wrong := range []string{"x  name", "5 name", "5", "-1  name", "1  a\n2  a"} {
		if _, err := Parse([]byte(wrong)); err == nil {
			t.Errorf("%q was read", wrong)
		}
	}
}
