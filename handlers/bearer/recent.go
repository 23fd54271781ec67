package bearer

import (
	"container/list"
	"time"
)

// recent keeps the values used last, up to a number of them, each until its time.
// It is not safe for concurrent use.
type recent[V any] struct {
	most  int
	order *list.List // of *entry[V], the one used last in front
	index map[tokenHash]*list.Element
}

type entry[V any] struct {
	key   tokenHash
	value V
	until time.Time
}

func newRecent[V any](most int) *recent[V] {
	return &recent[V]{most: most, order: list.New(), index: map[tokenHash]*list.Element{}}
}

func (r *recent[V]) get(key tokenHash, now time.Time) (value V, ok bool) {
	e, ok := r.index[key]
	if !ok {
		return value, false
	}
	held, ok := e.Value.(*entry[V])
	if !ok || !now.Before(held.until) {
		r.remove(e)
		return value, false
	}
	r.order.MoveToFront(e)
	return held.value, true
}

func (r *recent[V]) put(key tokenHash, value V, until time.Time) {
	if e, ok := r.index[key]; ok {
		r.remove(e)
	}
	r.index[key] = r.order.PushFront(&entry[V]{key, value, until})
	if r.order.Len() > r.most {
		r.remove(r.order.Back())
	}
}

func (r *recent[V]) remove(e *list.Element) {
	r.order.Remove(e)
	if held, ok := e.Value.(*entry[V]); ok {
		delete(r.index, held.key)
	}
}
