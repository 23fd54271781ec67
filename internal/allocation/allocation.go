// Package allocation holds operations to the number of allocations that a committed
// file records for them. Times say nothing on a machine that others use as well;
// allocations are the same everywhere and rise with nearly every change that makes a
// request dearer.
//
// One list of operations serves a benchmark and the check:
//
//	func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations(b)) }
//	func TestAllocations(t *testing.T)     { allocation.Check(t, operations(t), *update) }
package allocation

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// File is the record of a package, in its folder.
const File = "testdata/allocations.txt"

const (
	calls  = 40 // in one round; what happens once in a while, as a map that grows, is spread over them
	rounds = 5  // the best one counts: what other goroutines allocate meanwhile only adds
)

// Operation is something that is done often.
type Operation struct {
	Name string
	// Prepare makes ready for n calls of Run. Optional.
	Prepare func(n int)
	Run     func() error
}

// Bench measures each operation.
func Bench(b *testing.B, operations []Operation) {
	for _, o := range operations {
		b.Run(o.Name, func(b *testing.B) {
			o.prepare(b.N)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if err := o.Run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Check fails the test when an operation allocates more than File says, and writes File
// when update is set. It is skipped where the numbers are others: with the race detector,
// and by another release of Go or for another kind of processor than File was written by.
// With DOORWARD_REQUIRE the latter is a failure.
func Check(t *testing.T, operations []Operation, update bool) {
	t.Helper()
	if race {
		t.Skip("the race detector allocates too")
	}
	here := Machine()
	found := Record{Machine: here, Counts: map[string]float64{}}
	for _, o := range operations {
		n, err := Count(o)
		if err != nil {
			t.Fatalf("%s: %v", o.Name, err)
		}
		found.Names = append(found.Names, o.Name)
		found.Counts[o.Name] = n
	}
	if update {
		write(t, found)
		return
	}
	text, err := os.ReadFile(File)
	if err != nil {
		t.Fatalf("%v; to write it: %s", err, command())
	}
	recorded, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v; to write it anew: %s", File, err, command())
	}
	if recorded.Machine != here {
		say := t.Skipf
		if os.Getenv("DOORWARD_REQUIRE") != "" {
			say = t.Fatalf
		}
		say("%s was written by %s and this is %s; to write it anew: %s", File, recorded.Machine, here, command())
	}
	for _, problem := range Compare(recorded, found) {
		t.Error(problem)
	}
	if t.Failed() {
		t.Logf("where an operation has become dearer, look for what it allocates:\n\tgo test %s -run '^$' -bench Operations -memprofile mem.out -memprofilerate 1 && go tool pprof -sample_index=alloc_objects -top mem.out\nif that is right so, accept it and commit %s:\n\t%s",
			folder(), File, command())
	}
}

func write(t *testing.T, r Record) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(File), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(File, r.Text(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// command is what writes the record of the package under test.
func command() string { return "go test " + folder() + " -run TestAllocations -update" }

// folder is the package under test as the go command names it from the root of the module.
func folder() string {
	dir, err := os.Getwd()
	if err != nil {
		return "."
	}
	for root := dir; root != filepath.Dir(root); root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
			continue
		}
		if path, err := filepath.Rel(root, dir); err == nil {
			return "./" + filepath.ToSlash(path)
		}
	}
	return "."
}

func (o Operation) prepare(n int) {
	if o.Prepare != nil {
		o.Prepare(n)
	}
}

// Count returns how many allocations one call of Run makes. The garbage collector rests
// meanwhile, since it empties the pools that many packages keep, and one processor works,
// so that others of this process allocate less beside it.
func Count(o Operation) (float64, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	least := -1.0
	for range rounds {
		o.prepare(calls + 1)
		if err := o.Run(); err != nil { // fills the pools
			return 0, err
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range calls {
			if err := o.Run(); err != nil {
				return 0, err
			}
		}
		runtime.ReadMemStats(&after)
		if n := float64(after.Mallocs-before.Mallocs) / calls; least < 0 || n < least {
			least = n
		}
		runtime.GC() // what it would have done meanwhile
	}
	return least, nil
}

// Tolerance is how much more than recorded is accepted: 2, and 3 in 100 of what takes
// many. So much comes and goes with the growth of maps and trees, with the order of a
// map, and with the patch releases of Go; a change of the code is mostly more.
func Tolerance(recorded float64) float64 { return max(2, recorded*3/100) }

// Compare says of each operation what is not as recorded, and how to look at it.
func Compare(recorded, found Record) []string {
	var problems []string
	for _, name := range found.Names {
		n, was := found.Counts[name], recorded.Counts[name]
		switch _, known := recorded.Counts[name]; {
		case !known:
			problems = append(problems, fmt.Sprintf("%s: makes %.0f allocations and %s has no line for it", name, n, File))
		case n > was+Tolerance(was):
			problems = append(problems, fmt.Sprintf("%s: makes %.0f allocations, %.0f more than the %.0f that %s says", name, n, n-was, was, File))
		}
	}
	for _, name := range recorded.Names {
		if _, known := found.Counts[name]; !known {
			problems = append(problems, fmt.Sprintf("%s: there is no such operation any more and %s has a line for it", name, File))
		}
	}
	return problems
}

// Record is what a File says.
type Record struct {
	Machine string // the release of Go and the kind of processor
	Names   []string
	Counts  map[string]float64
}

// Machine is what decides numbers of allocations beside the code.
func Machine() string {
	release := strings.Split(runtime.Version(), " ")[0]
	if parts := strings.SplitN(release, ".", 3); len(parts) == 3 {
		release = parts[0] + "." + parts[1]
	}
	return release + " " + runtime.GOARCH
}

// Text is the record as it stands in the file.
func (r Record) Text() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# allocations of one call, written by %s\n", r.Machine)
	for _, name := range r.Names {
		fmt.Fprintf(&out, "%7.0f  %s\n", r.Counts[name], name)
	}
	return out.Bytes()
}

// Parse reads what Text wrote.
func Parse(text []byte) (Record, error) {
	r := Record{Counts: map[string]float64{}}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			if _, machine, ok := strings.Cut(line, "written by "); ok {
				r.Machine = machine
			}
			continue
		}
		count, name, _ := strings.Cut(line, "  ")
		n, err := strconv.ParseUint(count, 10, 32)
		if _, twice := r.Counts[name]; err != nil || name == "" || twice {
			return Record{}, fmt.Errorf("a line that is no number, two spaces and a name of its own: %q", line)
		}
		r.Names = append(r.Names, name)
		r.Counts[name] = float64(n)
	}
	return r, nil
}
