package attack

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// attack is one row of the table.
type attack struct {
	id   string // of the catalogue of threats, as WB-22, or a word of its own
	name string

	// request makes the unmodified request, and works is what shows that it is served.
	request func(*stage) *request
	works   verdict

	// mutations are the ways to mangle it, and verdict is what must come of each that has
	// none of its own.
	mutations []mutation
	verdict   verdict

	// play is an attack of several steps, in place of all of these.
	play func(*play)
}

// mutation is one way to mangle a request.
type mutation struct {
	name    string
	change  func(*request)
	verdict verdict
}

// area is a place at which outsiders try the server.
type area struct {
	name string
	rows []attack
}

// areas are all of them.
func areas() []area {
	return []area{
		{"headers", headerAttacks()}, {"redirect_uri", redirectAttacks()}, {"authorize", authorizeAttacks()}, {"pages", pageAttacks()},
		{"interaction", interactionAttacks()}, {"codes", codeAttacks()}, {"token endpoint", tokenAttacks()}, {"refresh", refreshAttacks()},
		{"identity", identityAttacks()}, {"introspection and revocation", introspectAttacks()},
		{"pushed requests", pushedAttacks()}, {"request objects", objectAttacks()}, {"client assertions", assertionAttacks()}, {"DPoP", proofAttacks()},
		{"certificates", certificateAttacks()}, {"device flow", deviceAttacks()}, {"logout", logoutAttacks()}, {"account", accountAttacks()},
		{"registration", registrationAttacks()}, {"what is fetched", fetchedAttacks()}, {"what has ended", endedAttacks()}, {"two issuers", neighbourAttacks()}, {"further", furtherAttacks()}, {"raw HTTP", rawAttacks()},
	}
}

// play is an attack that is under way.
type play struct {
	*stage
	row    string
	worked bool
}

// control holds that an unmodified request is served.
func (p *play) control(what string, a *answer, works verdict) {
	p.t.Helper()
	if err := works(a); err != nil {
		p.t.Fatalf("%s: %s: the unmodified request does not work: %v\n%s", p.row, what, err, a)
	}
	p.worked = true
}

// judge holds that an attack failed, and keeps how.
func (p *play) judge(what string, a *answer, v verdict) {
	p.t.Helper()
	if !p.worked {
		p.t.Fatalf("%s: %s: nothing shows that the unmodified request works", p.row, what)
	}
	if err := v(a); err != nil {
		p.t.Errorf("%s: %s: %v\n%s", p.row, what, err, a)
	}
	p.note(p.row+": "+what, a)
}

func (row *attack) run(t *testing.T, s *stage, area string) {
	p := &play{stage: s.within(t), row: area + ": " + row.id + " " + row.name}
	if row.play != nil {
		row.play(p)
		if !p.worked {
			t.Errorf("%s: nothing shows that the unmodified request works", p.row)
		}
		return
	}
	p.control("control", p.send(row.request(p.stage)), row.works)
	for _, m := range row.mutations {
		r := row.request(p.stage)
		m.change(r)
		v := m.verdict
		if v == nil {
			v = row.verdict
		}
		p.judge(m.name, p.send(r), v)
	}
	p.control("control afterwards", p.send(row.request(p.stage)), row.works)
}

// TestAttacks runs the whole table over http and over TLS, and each of them twice: the
// verdicts are the same in all of them. In the quick form, and under the race detector,
// once each.
func TestAttacks(t *testing.T) {
	passes := []string{"http", "tls", "http again", "tls again"}
	if testing.Short() || raced {
		passes = passes[:2]
	}
	verdicts := make([]map[string]string, len(passes))
	for i, pass := range passes {
		t.Run(pass, func(t *testing.T) {
			s := newStage(t, strings.HasPrefix(pass, "tls"))
			for _, a := range areas() {
				t.Run(a.name, func(t *testing.T) {
					for i := range a.rows {
						t.Run(a.rows[i].id, func(t *testing.T) { a.rows[i].run(t, s, a.name) })
					}
				})
			}
			s.within(t).after()
			verdicts[i] = s.verdicts
		})
	}
	for i := range verdicts {
		if verdicts[0] == nil || verdicts[i] == nil {
			continue // left out by -run
		}
		for _, what := range slices.Sorted(maps.Keys(verdicts[0])) {
			if first, now := verdicts[0][what], verdicts[i][what]; first != now {
				t.Errorf("%s\n  over %s: %s\n  over %s: %s", what, passes[0], first, passes[i], now)
			}
		}
		if len(verdicts[i]) != len(verdicts[0]) {
			t.Errorf("over %s there are %d verdicts, over %s %d", passes[0], len(verdicts[0]), passes[i], len(verdicts[i]))
		}
	}
	t.Logf("%d attacks, %d times each", len(verdicts[0]), len(passes))
}
