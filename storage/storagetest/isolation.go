package storagetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/doorward/doorward/storage"
)

func isolationCases() []testCase {
	return []testCase{
		{"isolation", "records of one namespace and kind are never seen, listed, changed or deleted through another", checkIsolation},
	}
}

// checkIsolation writes one record under each of many names that a careless
// encoding would mix up, all under the same few IDs.
func checkIsolation(ctx context.Context, b storage.Backend) error {
	names := []string{"a", "ab", "aa", "a/", "a/b", "a:b", "a|b", "a\x01", "a\xff", "A", "b", "a%00"}
	idsOfEach := []string{"b", "x", "\x00b", "a"}
	var keys []storage.Key
	var ops []storage.Op
	for _, ns := range names {
		for _, kd := range names {
			for _, id := range idsOfEach {
				k := storage.Key{Namespace: ns, Kind: kd, ID: id}
				keys = append(keys, k)
				ops = append(ops, storage.Op{
					Action: storage.ActionPut, Key: k, If: storage.Absent(),
					Value: fmt.Appendf(nil, "%q", k), Index: []storage.Index{entry("x", "1"), entry("b", "x")},
				})
			}
		}
	}
	if err := arrange(ctx, b, ops...); err != nil {
		return fmt.Errorf("records of one ID in several namespaces and kinds are in each other's way: %w", err)
	}
	for _, k := range keys {
		found, err := getAll(ctx, b, k)
		if err != nil {
			return err
		}
		if string(found[0].Value) != fmt.Sprintf("%q", k) || found[0].Key != k {
			return fmt.Errorf("Get of %q returned %q, the record of %s", k, found[0].Key, found[0].Value)
		}
	}
	var broken []error
	for _, ns := range names {
		for _, kd := range names {
			for _, q := range []storage.Query{{}, {Index: "x", Value: "1"}} {
				q.Namespace, q.Kind = ns, kd
				broken = append(broken, expectList(ctx, b, q, idsOfEach, fmt.Sprintf("namespace %q, kind %q, index %q", ns, kd, q.Index)))
			}
		}
	}
	victim := storage.Key{Namespace: "a", Kind: "a", ID: "b"}
	if err := apply(ctx, b, storage.Op{Action: storage.ActionDelete, Key: victim, If: storage.Any()}); err != nil {
		return err
	}
	found, err := getAll(ctx, b, keys...)
	if err != nil {
		return err
	}
	for i, r := range found {
		if (r.Revision == 0) != (keys[i] == victim) {
			broken = append(broken, fmt.Errorf("after the delete of %q, record %q is at revision %d", victim, keys[i], r.Revision))
		}
	}
	return errors.Join(broken...)
}
