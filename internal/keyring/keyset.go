package keyring

import (
	"slices"
	"time"

	"github.com/doorward/doorward/storage"
)

const (
	// slack covers what CacheTime and TokenLife do not: replicas that know a key
	// set of some seconds ago, clocks that differ, answers on their way.
	slack = time.Minute

	// Retired keys are kept for Verify this long after they left the published
	// set, and no more of them than this for one algorithm.
	keepRetired = 2 * 365 * 24 * time.Hour
	maxRetired  = 20

	// maxRemoved bounds what is remembered of keys that are kept no longer.
	maxRemoved = 100
)

// keyset is the one record of a Ring: all keys, in the order they were made.
type keyset struct {
	ID      string    `json:"id"`
	Keys    []key     `json:"keys"`
	Removed []removal `json:"removed,omitempty"`
}

const keysetID = "signing"

func keysets(s *storage.Store) *storage.Collection[keyset] {
	return storage.Collect(s, "keys", 1, func(k *keyset) storage.Meta { return storage.Meta{ID: k.ID} })
}

// key is one key pair. It is next until it is active, and active until it is
// retired.
type key struct {
	ID        string `json:"kid"` // RFC 7638 thumbprint
	Algorithm string `json:"alg"`
	Public    []byte `json:"public"`            // PKIX
	Private   []byte `json:"private,omitempty"` // deleted when the key is retired

	PublishedAt time.Time `json:"published_at"`
	ActiveAt    time.Time `json:"active_at,omitzero"`
	RetiredAt   time.Time `json:"retired_at,omitzero"`
	// PublishedUntil is when the last token that a retired key signed has ended.
	PublishedUntil time.Time `json:"published_until,omitzero"`
	// TokenLife is the longest life of a token that was signed, as configured
	// at any time while the key was active.
	TokenLife time.Duration `json:"token_life,omitempty"`
}

// removal remembers a key that is kept no longer, for the error of Verify.
type removal struct {
	ID string    `json:"kid"`
	At time.Time `json:"at"`
}

type state int

const (
	stateNext state = iota
	stateActive
	stateRetired
)

func (k *key) state() state {
	switch {
	case !k.RetiredAt.IsZero():
		return stateRetired
	case !k.ActiveAt.IsZero():
		return stateActive
	default:
		return stateNext
	}
}

// published says whether the key stands in the JWKS.
func (k *key) published(now time.Time) bool {
	return k.state() != stateRetired || now.Before(k.PublishedUntil)
}

func (k *key) activate(now time.Time) { k.ActiveAt = now }

// retire ends the signing of a key. Its private part is not needed again: who
// steals the database later can't forge with it.
func (k *key) retire(now time.Time) {
	k.RetiredAt, k.Private = now, nil
	k.PublishedUntil = now.Add(k.TokenLife + slack)
}

// find returns the key of an algorithm in a state, nil when there is none.
func (s *keyset) find(alg string, in state) *key {
	for i := range s.Keys {
		if k := &s.Keys[i]; k.Algorithm == alg && k.state() == in {
			return k
		}
	}
	return nil
}

// crowded says whether one algorithm has as many retired keys in the JWKS as it
// may have.
func (s *keyset) crowded(now time.Time) bool {
	retired := map[string]int{}
	for i := range s.Keys {
		if k := &s.Keys[i]; k.state() == stateRetired && k.published(now) {
			retired[k.Algorithm]++
		}
	}
	for _, n := range retired {
		if n >= maxPublished {
			return true
		}
	}
	return false
}

// drop removes a key.
func (s *keyset) drop(k *key) {
	id := k.ID
	s.Keys = slices.DeleteFunc(s.Keys, func(k key) bool { return k.ID == id })
}

// plan is one pass over a key set: what is due at now is done to it.
type plan struct {
	Options
	now time.Time
	// force rotates whether due or not, but for keys active since rotated, if
	// that is set.
	force   bool
	rotated time.Time
	make    func(alg string) (key, error)
	events  []event
}

// event is one step of a key, for the log.
type event struct {
	what string
	kid  string
	alg  string
}

func (p *plan) note(what string, k *key) {
	p.events = append(p.events, event{what, k.ID, k.Algorithm})
}

// run brings the key set up to date. changed is false when there was nothing to do.
func (p *plan) run(s *keyset) (changed bool, err error) {
	for _, alg := range p.Algorithms {
		if err := p.chain(s, alg); err != nil {
			return false, err
		}
	}
	p.abandon(s)
	p.forget(s)
	longer := p.lengthen(s)
	return longer || len(p.events) > 0, nil
}

// chain brings the keys of one algorithm up to date. Its first key signs at once:
// nothing that was verified so far depends on it, and who meets its kid fetches the
// key set. Every later one was published before.
func (p *plan) chain(s *keyset, alg string) error {
	if s.find(alg, stateActive) == nil {
		if err := p.ensureNext(s, alg); err != nil {
			return err
		}
		next := s.find(alg, stateNext)
		next.activate(p.now)
		p.note("activated", next)
		return p.ensureNext(s, alg)
	}
	if err := p.ensureNext(s, alg); err != nil {
		return err
	}
	active, next := s.find(alg, stateActive), s.find(alg, stateNext)
	forced := p.force && (p.rotated.IsZero() || active.ActiveAt.Before(p.rotated))
	if !forced && p.now.Before(p.due(active, next)) {
		return nil
	}
	active.TokenLife = max(active.TokenLife, p.TokenLife)
	active.retire(p.now)
	next.activate(p.now)
	p.note("retired", active)
	p.note("activated", next)
	return p.ensureNext(s, alg)
}

func (p *plan) ensureNext(s *keyset, alg string) error {
	if s.find(alg, stateNext) != nil {
		return nil
	}
	k, err := p.make(alg)
	if err != nil {
		return err
	}
	k.PublishedAt = p.now
	s.Keys = append(s.Keys, k)
	p.note("published", &k)
	return nil
}

// due returns when next follows active: when active signed for long enough, but
// not before every cached key set shows next.
func (p *plan) due(active, next *key) time.Time {
	rotation, shown := active.ActiveAt.Add(p.Rotation), next.PublishedAt.Add(p.CacheTime+slack)
	if shown.After(rotation) {
		return shown
	}
	return rotation
}

// abandon ends the chains of algorithms that are no longer configured, but not
// before their rotation would have been due: another replica may be configured
// otherwise while a release is rolled out.
func (p *plan) abandon(s *keyset) {
	for i := range s.Keys {
		k := &s.Keys[i]
		if k.state() != stateActive || slices.Contains(p.Algorithms, k.Algorithm) || p.now.Before(k.ActiveAt.Add(p.Rotation)) {
			continue
		}
		k.retire(p.now)
		p.note("retired", k)
	}
	for i := len(s.Keys) - 1; i >= 0; i-- {
		k := &s.Keys[i]
		if k.state() == stateNext && s.find(k.Algorithm, stateActive) == nil {
			p.note("removed", k)
			s.drop(k)
		}
	}
}

// forget removes retired keys that are too old or too many.
func (p *plan) forget(s *keyset) {
	kept := map[string]int{}
	for i := len(s.Keys) - 1; i >= 0; i-- { // the newest first
		k := &s.Keys[i]
		if k.published(p.now) {
			continue
		}
		kept[k.Algorithm]++
		if kept[k.Algorithm] <= maxRetired && p.now.Before(k.PublishedUntil.Add(keepRetired)) {
			continue
		}
		p.note("removed", k)
		s.Removed = append(s.Removed, removal{ID: k.ID, At: p.now})
		s.drop(k)
	}
	s.Removed = s.Removed[max(0, len(s.Removed)-maxRemoved):]
}

// lengthen remembers the longest token life of active keys.
func (p *plan) lengthen(s *keyset) (changed bool) {
	for i := range s.Keys {
		if k := &s.Keys[i]; k.state() == stateActive && k.TokenLife < p.TokenLife {
			k.TokenLife, changed = p.TokenLife, true
		}
	}
	return changed
}

// nextStep returns when there is something to do for the key set.
func (p *plan) nextStep(s *keyset) time.Time {
	var first time.Time
	at := func(t time.Time) {
		if first.IsZero() || t.Before(first) {
			first = t
		}
	}
	for i := range s.Keys {
		switch k := &s.Keys[i]; k.state() {
		case stateActive:
			if next := s.find(k.Algorithm, stateNext); next != nil {
				at(p.due(k, next))
			} else {
				at(k.ActiveAt.Add(p.Rotation))
			}
		case stateRetired:
			at(k.PublishedUntil.Add(keepRetired))
		}
	}
	return first
}
