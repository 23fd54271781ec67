package outbound

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// CacheOptions are the bounds of a Cache. All fields are required.
type CacheOptions struct {
	Size    int // documents that are kept; the one that was not used for longest goes
	Limit   int // bytes of a document
	Types   []string
	Least   time.Duration // that a document is kept, whatever its Cache-Control says
	Default time.Duration // without a Cache-Control
	Most    time.Duration
	Failure time.Duration // that a failure is remembered; 0: only by those who waited for it
	Again   time.Duration // between two fetches that Refresh forces
	Now     func() time.Time
}

// Cache keeps documents that were fetched, in the form that its parse gave them. Each
// document is fetched by one caller at a time, for which the others wait. It is safe
// for concurrent use.
type Cache[T any] struct {
	client *Client
	o      CacheOptions
	parse  func(ctx context.Context, url string, body []byte) (T, error)

	mu      sync.Mutex
	order   *list.List // of *page[T], the last used first
	entries map[string]*list.Element
}

type page[T any] struct {
	url    string
	value  T
	known  bool // value was fetched
	err    error
	hasty  bool      // err came of a fetch that had less time than others would have
	since  time.Time // value or err count, until
	until  time.Time
	forced time.Time // by Refresh, the last time
	flight chan struct{}
}

// counts says whether what was fetched does still. What is of a time to come was fetched
// while the clock was ahead, and nobody knows how old it is.
func (p *page[T]) counts(now time.Time) bool { return !now.Before(p.since) && now.Before(p.until) }

// NewCache makes an empty Cache. An error of parse is a failure of the fetch.
func NewCache[T any](c *Client, o CacheOptions, parse func(body []byte) (T, error)) *Cache[T] {
	return NewCacheOf(c, o, func(_ context.Context, _ string, body []byte) (T, error) { return parse(body) })
}

// NewCacheOf is NewCache for documents that have to do with their URL.
func NewCacheOf[T any](c *Client, o CacheOptions, parse func(ctx context.Context, url string, body []byte) (T, error)) *Cache[T] {
	return &Cache[T]{client: c, o: o, parse: parse, order: list.New(), entries: map[string]*list.Element{}}
}

// Get returns the document at a URL, fetching it if need be. The error is ErrURL, an
// *Error or that of ctx.
func (c *Cache[T]) Get(ctx context.Context, url string) (T, error) {
	return c.get(ctx, url, false)
}

// Refresh is Get, but for a document that is known it asks whether there is a newer
// one, though not more often than once in CacheOptions.Again, and no sooner than that
// after it was fetched first. A failure leaves the old one. It is for a key that the
// document should have: keys are changed, and names of keys are invented to make the
// server ask.
func (c *Cache[T]) Refresh(ctx context.Context, url string) (T, error) {
	return c.get(ctx, url, true)
}

func (c *Cache[T]) get(ctx context.Context, url string, force bool) (T, error) {
	var none T
	if err := CheckURL(url); err != nil {
		return none, err
	}
	for {
		c.mu.Lock()
		p, now := c.page(url), c.o.Now()
		switch due := force && p.known && now.Sub(p.forced).Abs() >= c.o.Again; {
		case p.flight != nil:
			flight := p.flight
			c.mu.Unlock()
			if err := c.wait(ctx, url, flight); err != nil {
				return none, err
			}
			hasty, err := c.outcome(p)
			if err != nil {
				return none, err
			}
			force = force && hasty // what it brought is as new as can be
		case p.counts(now) && !due:
			value, err := p.value, p.err
			c.mu.Unlock()
			return value, err
		default:
			if due {
				p.forced = now
			}
			flight := make(chan struct{})
			p.flight = flight
			c.mu.Unlock()
			return c.fetch(ctx, p, due)
		}
	}
}

// wait waits for the fetch of another.
func (c *Cache[T]) wait(ctx context.Context, url string, flight chan struct{}) error {
	patience := ctx
	if end, _, together := shared(ctx, c.client.total); together {
		limited, cancel := context.WithDeadline(ctx, end)
		defer cancel()
		patience = limited
	}
	select {
	case <-flight:
		return nil
	case <-patience.Done():
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &Error{URL: url, Detail: "no answer", Cause: patience.Err()}
	}
}

// outcome returns the error of the fetch that somebody waited for. Who waits does not try
// again after it: many of them would keep a dead host busy one after the other. Only a
// hasty one proves nothing: whoever begins one just before its time is over would else
// keep a document from all others.
func (c *Cache[T]) outcome(p *page[T]) (hasty bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.known || p.hasty {
		return p.hasty, nil
	}
	return false, p.err
}

// Known returns a document that is kept and still fresh, without fetching it.
func (c *Cache[T]) Known(url string) (value T, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[url]
	if e == nil {
		return value, false
	}
	p := e.Value.(*page[T])
	if !p.known || p.flight != nil || !p.counts(c.o.Now()) {
		return value, false
	}
	c.order.MoveToFront(e)
	return p.value, true
}

// page returns the entry of a URL, new or found, as the last used one. The mutex is
// held.
func (c *Cache[T]) page(url string) *page[T] {
	if e := c.entries[url]; e != nil {
		c.order.MoveToFront(e)
		return e.Value.(*page[T])
	}
	p := &page[T]{url: url}
	c.entries[url] = c.order.PushFront(p)
	for c.order.Len() > c.o.Size {
		oldest := c.order.Back()
		c.order.Remove(oldest)
		delete(c.entries, oldest.Value.(*page[T]).url)
	}
	return p
}

var errUnfinished = errors.New("outbound: the fetch did not end")

// fetch fetches for all who wait, so it goes on when the one that began hangs up.
func (c *Cache[T]) fetch(ctx context.Context, p *page[T], forced bool) (value T, err error) {
	_, whole, together := shared(ctx, c.client.total)
	life := c.o.Failure
	err = errUnfinished // what a panic leaves behind
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(p.flight)
		p.flight = nil
		p.hasty = err != nil && together && !whole && !Refused(err)
		if err != nil && forced {
			if p.hasty {
				p.forced = time.Time{} // it takes nobody's turn to ask for a new key
			}
			value, err = p.value, nil // the old one stays, for as long as it was good for
			return
		}
		if p.hasty {
			life = 0
		}
		now := c.o.Now()
		if err == nil && !p.known {
			p.forced = now
		}
		p.value, p.err, p.known, p.since, p.until = value, err, err == nil, now, now.Add(life)
		if e := c.entries[p.url]; err != nil && c.o.Failure == 0 && e != nil && e.Value == p {
			c.order.Remove(e) // what is not remembered takes no place from what is
			delete(c.entries, p.url)
		}
	}()
	document, failed := c.client.Get(context.WithoutCancel(ctx), Request{URL: p.url, Limit: c.o.Limit, Types: c.o.Types})
	if failed != nil {
		return value, failed
	}
	parsed, failed := c.parse(context.WithoutCancel(ctx), p.url, document.Body)
	if failed != nil {
		return value, &Error{URL: p.url, Detail: "the document is not what it should be", Cause: failed}
	}
	life = c.o.Default
	if document.Life >= 0 {
		life = min(max(document.Life, c.o.Least), c.o.Most)
	}
	return parsed, nil
}
