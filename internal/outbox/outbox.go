// Package outbox keeps what is to be told to others until they were told: a message is
// stored in the batch of what it tells about, so neither happens without the other, and
// delivered later by Run, off the path of any request.
//
// The records of the outbox stand in the order in which they are due. Taking one moves
// it to the end of a lease, by compare-and-set: nobody else finds it due meanwhile, and
// when the process that took it is killed it is due again, for whoever looks first. So
// replicas share the work, each message is tried by one of them at a time, and a message
// that was delivered just before a crash may be delivered once more.
package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

const (
	lease     = 30 * time.Second // how long a message belongs to who took it
	tryTime   = 20 * time.Second // of one try; shorter, so that no two overlap
	firstWait = 5 * time.Second  // after the first failure; doubled after each
	longest   = 6 * time.Hour    // between two tries
	maxTries  = 24
	maxAge    = 3 * 24 * time.Hour
)

// Message is something that is to be told to somebody.
type Message struct {
	Key       string          `json:"-"` // in the order of DueAt
	ID        string          `json:"id"`
	Topic     string          `json:"topic"`
	To        string          `json:"to"` // whom it is for; tries to one recipient are bounded
	Body      json.RawMessage `json:"body"`
	Tries     int             `json:"tries,omitempty"` // begun so far
	CreatedAt time.Time       `json:"created_at"`
	DueAt     time.Time       `json:"due_at"`
}

// SetKey implements storage.Keyed.
func (m *Message) SetKey(id string) { m.Key = id }

// Topic says what happens to the messages of one kind.
type Topic struct {
	// Deliver tries once. An error means that it is to be tried again; its text goes
	// to the log. It runs in no unit of work, and may be called again for a message
	// that was delivered.
	Deliver func(ctx context.Context, m *Message) error
	// GivenUp is called once when a message will not be tried again, after that is
	// durable. Optional.
	GivenUp func(ctx context.Context, m *Message, last error)
}

// Outbox is the messages of one store. It is safe for concurrent use once every topic
// is registered.
type Outbox struct {
	store   *storage.Store
	records *storage.Collection[Message]
	topics  map[string]Topic
	log     *slog.Logger
	wake    chan struct{}
	busy    busy
}

// New makes the outbox of a store. A nil log means that nothing is logged.
func New(s *storage.Store, log *slog.Logger) *Outbox {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Outbox{
		store: s, log: log, topics: map[string]Topic{}, wake: make(chan struct{}, 1),
		records: storage.Collect(s, "outbox", 1, func(m *Message) storage.Meta {
			return storage.Meta{ID: m.Key, Expiry: m.CreatedAt.Add(maxAge + 24*time.Hour)}
		}),
	}
}

// Register names what delivers a topic. Call it before anything else.
func (o *Outbox) Register(topic string, t Topic) { o.topics[topic] = t }

// Put adds a message to the unit of work of ctx.
func (o *Outbox) Put(ctx context.Context, topic, to string, body any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("outbox: encode a message of %s: %w", topic, err)
	}
	now := o.store.Now()
	m := &Message{ID: opaque.NewID(now), Topic: topic, To: to, Body: encoded, CreatedAt: now}
	m.dueAt(now)
	if err := o.records.Insert(ctx, m); err != nil {
		return err
	}
	o.store.AfterCommit(ctx, o.poke)
	return nil
}

func (m *Message) dueAt(t time.Time) { m.DueAt, m.Key = t, opaque.NewID(t) }

// poke lets Run look at once.
func (o *Outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take moves a message to the end of a lease. It is nil when somebody else was faster.
func (o *Outbox) take(ctx context.Context, key string) (*Message, error) {
	var taken *Message
	err := o.store.Do(ctx, func(ctx context.Context) error {
		taken = nil
		m, err := o.records.Get(ctx, key)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		// Counted before it is tried: a message that kills the process must not be
		// tried for ever.
		m.Tries++
		taken = m
		return o.move(ctx, m, o.store.Now().Add(lease))
	})
	return taken, err
}

// move makes a message due at another time.
func (o *Outbox) move(ctx context.Context, m *Message, due time.Time) error {
	if err := o.records.Delete(ctx, m.Key); err != nil {
		return err
	}
	m.dueAt(due)
	return o.records.Insert(ctx, m)
}

// try delivers a message that was taken and settles what becomes of it.
func (o *Outbox) try(ctx context.Context, m *Message) {
	problem := o.deliver(ctx, m)
	stopped := problem != nil && ctx.Err() != nil
	// What came of it is written down also while the server is stopping.
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), lease-tryTime)
	defer end()
	if err := o.settle(ctx, m, problem, stopped); err != nil {
		o.log.WarnContext(ctx, "the outcome of a delivery could not be stored; it is tried again", "topic", m.Topic, "to", m.To, "err", err)
	}
}

func (o *Outbox) deliver(ctx context.Context, m *Message) (err error) {
	topic, known := o.topics[m.Topic]
	if !known {
		return fmt.Errorf("outbox: this release knows no topic %q", m.Topic)
	}
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("outbox: delivering panicked: %T", cause)
		}
	}()
	ctx, end := context.WithTimeout(ctx, tryTime)
	defer end()
	return topic.Deliver(ctx, m)
}

func (o *Outbox) settle(ctx context.Context, m *Message, problem error, stopped bool) error {
	attrs := []any{"topic", m.Topic, "to", m.To, "try", m.Tries, "message", m.ID, "err", problem}
	now := o.store.Now()
	over := problem != nil && !stopped && (m.Tries >= maxTries || !now.Before(m.CreatedAt.Add(maxAge)))
	return o.store.Do(ctx, func(ctx context.Context) error {
		at := *m // a rerun begins with what was taken
		switch _, err := o.records.Get(ctx, at.Key); {
		case errors.Is(err, storage.ErrNotFound): // the lease ended, and another took it
			return nil
		case err != nil:
			return err
		}
		switch {
		case problem == nil:
			return o.records.Delete(ctx, at.Key)
		case stopped: // it was not the recipient's fault
			at.Tries--
			return o.move(ctx, &at, now)
		case over:
			o.store.AfterCommit(ctx, func() { o.giveUp(ctx, &at, problem, attrs) })
			return o.records.Delete(ctx, at.Key)
		}
		o.store.AfterCommit(ctx, func() {
			o.log.WarnContext(ctx, "a delivery failed and will be tried again", append(attrs, "next", at.DueAt)...)
		})
		return o.move(ctx, &at, now.Add(wait(at.Tries)))
	})
}

func (o *Outbox) giveUp(ctx context.Context, m *Message, problem error, attrs []any) {
	o.log.ErrorContext(ctx, "a delivery failed for the last time and is given up", attrs...)
	if topic := o.topics[m.Topic]; topic.GivenUp != nil {
		topic.GivenUp(o.store.Apart(ctx), m, problem)
	}
}

// wait returns how long to wait after a number of tries: doubled each time, and up to a
// quarter longer by chance, so that what failed together does not come back together.
func wait(tries int) time.Duration {
	d := longest
	if tries < 14 {
		d = min(longest, firstWait<<(max(tries, 1)-1))
	}
	return d + d*time.Duration(opaque.Random(1)[0])/1024
}
