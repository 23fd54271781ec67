package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/doorward/doorward/storage"
)

var _ storage.Census = (*Backend)(nil)

// Count implements storage.Census. Bytes are those of keys, values and index entries.
func (b *Backend) Count(ctx context.Context, now time.Time) ([]storage.Tally, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if err := b.ready(ctx); err != nil {
		return nil, err
	}
	type name struct{ namespace, kind string }
	tallies := map[name]storage.Tally{}
	for key, r := range b.table.records {
		t := tallies[name{key.Namespace, key.Kind}]
		t.Namespace, t.Kind = key.Namespace, key.Kind
		if r.Expired(now) {
			t.Expired++
		} else {
			t.Live++
		}
		t.Bytes += int64(len(key.ID) + len(r.Value))
		for _, x := range r.Index {
			t.Bytes += int64(len(x.Name) + len(x.Value))
		}
		tallies[name{key.Namespace, key.Kind}] = t
	}
	all := make([]storage.Tally, 0, len(tallies))
	for _, t := range tallies {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b storage.Tally) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind))
	})
	return all, nil
}
