package storage

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/seal"
)

// Meta is what the store must know of a value: where it stands, how long it
// lives, and under which index entries it can be listed. IDs and index values
// are not sealed: pass what is private through Store.Lookup.
type Meta struct {
	ID     string
	Expiry time.Time // zero: never
	Index  []Index
}

// Collection keeps values of one type as sealed JSON records of one kind. All
// methods work inside the unit of work that their context carries, or else in
// one of their own.
type Collection[T any] struct {
	store    *Store
	kind     string
	schema   int
	describe func(*T) Meta
	views    int // how many View keeps in each generation; 0: generationSize
}

// Collect defines a collection. kind names it within the store and never
// changes; schema counts up whenever the JSON form of T does change. A record of
// a higher schema than this one keeps its schema and the fields that T does not
// know when it is written, so that two releases can share a database.
func Collect[T any](s *Store, kind string, schema int, describe func(*T) Meta) *Collection[T] {
	return &Collection[T]{store: s, kind: kind, schema: schema, describe: describe}
}

// Ref names a record for Store.Load.
type Ref struct {
	kind, id string
	recent   bool // not worth a round trip of its own
}

// Ref returns the reference of a record, for Store.Load.
func (c *Collection[T]) Ref(id string) Ref { return Ref{kind: c.kind, id: id} }

// Load reads several records in one round trip into the unit of work in ctx, so
// that the Gets that follow cost nothing. References with an empty ID are passed
// over. Outside of a unit of work it does nothing.
func (s *Store) Load(ctx context.Context, refs ...Ref) error {
	u := s.unit(ctx)
	if u == nil {
		return nil
	}
	var keys, recent []Key
	needed := false
	for _, r := range refs {
		if r.id == "" {
			continue
		}
		k := s.key(r.kind, r.id)
		if e := u.find(k); e != nil && e.read {
			continue
		}
		if keys == nil {
			keys = make([]Key, 0, len(refs))
		}
		keys = append(keys, k)
		if r.recent {
			recent = append(recent, k)
			_, known := u.known(k)
			needed = needed || !known
		} else {
			needed = true
		}
	}
	if !needed {
		return nil
	}
	return u.loadRecent(ctx, keys, recent...)
}

// Get returns the value stored under id, a fresh copy. The error is ErrNotFound,
// ErrUnavailable, ErrDamaged or ErrNewer.
func (c *Collection[T]) Get(ctx context.Context, id string) (*T, error) {
	return c.read(ctx, id, (*unit).entry)
}

// read returns the value of the entry that find has in the unit of work.
func (c *Collection[T]) read(ctx context.Context, id string, find func(*unit, context.Context, Key) (*entry, error)) (*T, error) {
	if id == "" {
		return nil, ErrNotFound
	}
	var value *T
	err := c.store.Do(ctx, func(ctx context.Context) error {
		e, err := find(c.store.unit(ctx), ctx, c.store.key(c.kind, id))
		if err != nil {
			return err
		}
		_, plain, exists := e.current()
		if !exists {
			return ErrNotFound
		}
		value, err = c.decode(id, plain)
		return err
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

// Put writes the value, new or changed. The unit of work is run again when
// another one wrote the record since this one read it.
func (c *Collection[T]) Put(ctx context.Context, value *T) error {
	return c.put(ctx, value, true)
}

// Insert writes a value whose ID was just made and can't exist yet, saving the
// read that Put makes. When the ID does exist the unit of work is run again.
func (c *Collection[T]) Insert(ctx context.Context, value *T) error {
	return c.put(ctx, value, false)
}

func (c *Collection[T]) put(ctx context.Context, value *T, read bool) error {
	meta := c.describe(value)
	if meta.ID == "" {
		return fmt.Errorf("%w: a %s record without an ID", ErrInvalid, c.kind)
	}
	encoded, err := encode(value)
	if err != nil {
		return fmt.Errorf("storage: encode a %s record: %w", c.kind, err)
	}
	return c.store.Do(ctx, func(ctx context.Context) error {
		u, key := c.store.unit(ctx), c.store.key(c.kind, meta.ID)
		schema, plain := c.schema, encoded
		if read {
			e, err := u.held(ctx, key)
			if err != nil {
				return err
			}
			if was, old, exists := e.current(); exists && was > schema {
				schema, plain = was, keepUnknown(reflect.TypeFor[T](), old, encoded)
			}
		}
		u.write(ctx, key, write{schema: schema, plain: plain, op: Op{
			Action: ActionPut, Value: c.store.seal(key, schema, plain), Expiry: meta.Expiry, Index: meta.Index,
		}})
		return nil
	})
}

// Delete removes the record. The unit of work is run again when another one
// changed the record since this one read it. Deleting what does not exist is no
// error.
func (c *Collection[T]) Delete(ctx context.Context, id string) error {
	return c.store.Do(ctx, func(ctx context.Context) error {
		u, key := c.store.unit(ctx), c.store.key(c.kind, id)
		e, err := u.held(ctx, key)
		if err != nil {
			return err
		}
		if _, _, exists := e.current(); exists {
			u.write(ctx, key, write{op: Op{Action: ActionDelete}})
		}
		return nil
	})
}

// Page asks for one page of a List. The zero Page starts at the beginning with
// 100 values.
type Page struct {
	After      string // Next of the page before
	Limit      int    // 1 to MaxPage; 0: 100
	Descending bool
}

// List returns one page of the values that carry an index entry, or of all with
// an empty index, ordered by ID, and the After of the next page, which is empty
// when this page was not full. It shows what is committed, not the writes of a
// unit of work under way.
func (c *Collection[T]) List(ctx context.Context, index, value string, page Page) (values []*T, next string, err error) {
	limit := page.Limit
	if limit == 0 {
		limit = 100
	}
	records, err := c.store.backend.List(ctx, Query{
		Namespace: c.store.namespace, Kind: c.kind, Index: index, Value: value,
		Now: c.store.Now(), After: page.After, Limit: limit, Descending: page.Descending,
	})
	if err != nil {
		return nil, "", unavailable(err)
	}
	for i := range records {
		_, plain, err := c.store.open(ctx, &records[i])
		if err != nil {
			return nil, "", err
		}
		v, err := c.decode(records[i].ID, plain)
		if err != nil {
			return nil, "", err
		}
		values = append(values, v)
	}
	if len(records) == limit {
		next = records[limit-1].ID
	}
	return values, next, nil
}

// Keyed is implemented by a value whose ID is not part of its JSON form, as is right
// for one that is bytes, which JSON does not keep. SetKey is given the ID of the record
// that the value was read from.
type Keyed interface {
	SetKey(id string)
}

func (c *Collection[T]) decode(id string, plain []byte) (*T, error) {
	value := new(T)
	if err := c.store.decode(plain, value); err != nil {
		return nil, fmt.Errorf("%w: decode a %s record: %w", ErrNewer, c.kind, err)
	}
	if keyed, ok := any(value).(Keyed); ok {
		keyed.SetKey(id)
	}
	return value, nil
}

// keepUnknown returns the JSON form of a value of type t with the fields that t
// does not have carried over from the stored form, in nested structs too.
func keepUnknown(t reflect.Type, old, plain json.RawMessage) json.RawMessage {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var was, is map[string]json.RawMessage
	if t.Kind() != reflect.Struct || json.Unmarshal(old, &was) != nil || json.Unmarshal(plain, &is) != nil || is == nil {
		return plain // no object in both, so there is nothing to carry over
	}
	known := jsonFields(t)
	for name, value := range was {
		field, ok := known[name]
		if !ok {
			is[name] = value
		} else if now, kept := is[name]; kept {
			is[name] = keepUnknown(field, value, now)
		}
	}
	merged, err := json.Marshal(is)
	if err != nil {
		return plain // not reached: the parts were valid JSON
	}
	return merged
}

func jsonFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		fields[name] = f.Type
	}
	return fields
}

// schemaSize is the length of the schema number that stands before a sealed value.
const schemaSize = 2

func (s *Store) seal(k Key, schema int, plain []byte) []byte {
	ring := s.view.Load().ring
	out := make([]byte, 0, schemaSize+len(plain)+ring.Overhead())
	return ring.Seal(binary.BigEndian.AppendUint16(out, uint16(schema)), plain, sealContext(k, schema))
}

// open opens a record. Under a data key that this Store has not heard of, it asks for the
// keys anew: another replica may have made one.
func (s *Store) open(ctx context.Context, r *Record) (schema int, plain []byte, err error) {
	if len(r.Value) < schemaSize {
		return 0, nil, fmt.Errorf("%w: a %s record", ErrDamaged, r.Kind)
	}
	schema = int(binary.BigEndian.Uint16(r.Value))
	sealed, ring := r.Value[schemaSize:], s.view.Load().ring
	if number, ok := seal.Number(sealed); ok && !ring.Has(number) {
		if err := s.loadKeys(ctx); err != nil {
			return 0, nil, unavailable(err)
		}
		ring = s.view.Load().ring
	}
	plain, err = ring.Open(sealed, sealContext(r.Key, schema))
	if errors.Is(err, seal.ErrOpen) {
		return 0, nil, fmt.Errorf("%w: a %s record", ErrDamaged, r.Kind)
	}
	return schema, plain, err
}

// sealContext binds a sealed value to its place, so that records can't be swapped
// by somebody who can write to the database.
func sealContext(k Key, schema int) []byte {
	size := schemaSize + len(k.Namespace) + len(k.Kind) + len(k.ID) + 3
	context := binary.BigEndian.AppendUint16(make([]byte, 0, size), uint16(schema))
	for _, part := range []string{k.Namespace, k.Kind, k.ID} {
		context = append(context, part...)
		context = append(context, 0)
	}
	return context
}
