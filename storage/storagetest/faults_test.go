package storagetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// faulty is a sound backend with one thing broken: a function that is set takes
// the place of the method.
type faulty struct {
	*memory.Backend
	get        func(ctx context.Context, keys []storage.Key) ([]storage.Record, error)
	list       func(ctx context.Context, q storage.Query) ([]storage.Record, error)
	apply      func(ctx context.Context, b storage.Batch) error
	sweep      func(ctx context.Context, now time.Time, budget time.Duration) (int, error)
	close      func() error
	lastCommit func(ctx context.Context) (time.Time, error)
	secret     func(ctx context.Context, create bool) ([]byte, error)
}

func (f *faulty) Get(ctx context.Context, keys ...storage.Key) ([]storage.Record, error) {
	if f.get == nil {
		return f.Backend.Get(ctx, keys...)
	}
	return f.get(ctx, keys)
}

func (f *faulty) List(ctx context.Context, q storage.Query) ([]storage.Record, error) {
	if f.list == nil {
		return f.Backend.List(ctx, q)
	}
	return f.list(ctx, q)
}

func (f *faulty) Apply(ctx context.Context, b storage.Batch) error {
	if f.apply == nil {
		return f.Backend.Apply(ctx, b)
	}
	return f.apply(ctx, b)
}

func (f *faulty) Sweep(ctx context.Context, now time.Time, budget time.Duration) (int, error) {
	if f.sweep == nil {
		return f.Backend.Sweep(ctx, now, budget)
	}
	return f.sweep(ctx, now, budget)
}

func (f *faulty) Close() error {
	if f.close == nil {
		return f.Backend.Close()
	}
	return f.close()
}

func (f *faulty) LastCommit(ctx context.Context) (time.Time, error) {
	if f.lastCommit == nil {
		return f.Backend.LastCommit(ctx)
	}
	return f.lastCommit(ctx)
}

func (f *faulty) Secret(ctx context.Context, create bool) ([]byte, error) {
	if f.secret == nil {
		return f.Backend.Secret(ctx, create)
	}
	return f.secret(ctx, create)
}

// fault is one way to break the contract, the cases that must notice it, and
// what one of them must say about it.
type fault struct {
	name   string
	breaks []string
	says   string
	make   func(m *memory.Backend) *faulty
}

func faults() []fault {
	return slices.Concat(readFaults(), writeFaults(), raceFaults(), timeFaults(), callFaults())
}

// TestEachFaultIsNoticed runs the suite's cases against broken backends.
func TestEachFaultIsNoticed(t *testing.T) {
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			var said []string
			for _, name := range f.breaks {
				err := f.notice(t, caseNamed(t, name))
				if err == nil {
					t.Errorf("the case %q did not notice", name)
					continue
				}
				said = append(said, err.Error())
			}
			if all := strings.Join(said, "\n"); !strings.Contains(all, f.says) {
				t.Errorf("no case said %q, but:\n%s", f.says, all)
			}
		})
	}
}

// notice runs a case until it fails. A fault of timing may hide from one run on a
// busy machine.
func (f fault) notice(t *testing.T, c testCase) error {
	const tries = 20
	for range tries {
		if err := c.run(t.Context(), f.make(memory.New())); err != nil {
			return err
		}
	}
	return nil
}

// TestEachCaseCanFail holds the suite itself to the rule that a test which can't
// fail proves nothing.
func TestEachCaseCanFail(t *testing.T) {
	noticed := map[string]bool{}
	for _, f := range faults() {
		for _, name := range f.breaks {
			noticed[name] = true
		}
	}
	for _, c := range cases() {
		if !noticed[c.name] {
			t.Errorf("no broken backend is noticed by the case %q", c.name)
		}
	}
}

// TestFailureNamesTheGuarantee looks at the message as a backend's author does.
func TestFailureNamesTheGuarantee(t *testing.T) {
	c := caseNamed(t, "single use/create")
	m := memory.New()
	err := c.run(t.Context(), &faulty{Backend: m, apply: rewriting(m, forgetCondition)})
	if err == nil || !strings.Contains(err.Error(), c.guarantee) || !strings.Contains(err.Error(), "a record was created 64 times under 64 parallel creates") {
		t.Errorf("the failure reads %v", err)
	}
}

// TestOptionalInterfacesAreOptional wraps a backend so that only the contract's
// methods are left.
func TestOptionalInterfacesAreOptional(t *testing.T) {
	for _, name := range []string{"clock witness", "secret keeper"} {
		err := caseNamed(t, name).run(t.Context(), struct{ storage.Backend }{memory.New()})
		if !errors.Is(err, errNotOffered) {
			t.Errorf("the case %q returned %v, want %v", name, err, errNotOffered)
		}
	}
}

func caseNamed(t *testing.T, name string) testCase {
	t.Helper()
	all := cases()
	i := slices.IndexFunc(all, func(c testCase) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("there is no case %q", name)
	}
	return all[i]
}

type applyFunc = func(ctx context.Context, b storage.Batch) error

// rewriting returns an Apply that changes each operation of a sound batch first.
func rewriting(m *memory.Backend, change func(op *storage.Op)) applyFunc {
	return func(ctx context.Context, b storage.Batch) error {
		if err := b.Validate(); err != nil {
			return err
		}
		b.Ops = slices.Clone(b.Ops)
		for i := range b.Ops {
			change(&b.Ops[i])
		}
		return m.Apply(ctx, b)
	}
}

func forgetCondition(op *storage.Op) {
	if op.Action != storage.ActionAdd {
		op.If = storage.Any()
	}
}

// rereading returns a Get and a List that change each record on its way out.
func rereading(m *memory.Backend, change func(r *storage.Record)) *faulty {
	each := func(found []storage.Record, err error) ([]storage.Record, error) {
		for i := range found {
			change(&found[i])
		}
		return found, err
	}
	return &faulty{
		Backend: m,
		get: func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			return each(m.Get(ctx, keys...))
		},
		list: func(ctx context.Context, q storage.Query) ([]storage.Record, error) { return each(m.List(ctx, q)) },
	}
}

// listAll lists a whole kind or entry, expired records too, ignoring the page.
func listAll(ctx context.Context, m *memory.Backend, q storage.Query) (all []storage.Record, err error) {
	q.Now, q.After, q.Limit, q.Descending = time.Time{}, "", storage.MaxPage, false
	for {
		page, err := m.List(ctx, q)
		if all = append(all, page...); err != nil || len(page) < q.Limit {
			slices.SortFunc(all, func(a, b storage.Record) int { return cmp.Compare(a.ID, b.ID) })
			return all, err
		}
		q.After = page[len(page)-1].ID
	}
}
