package bolt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/doorward/doorward/storage"
)

// stage is a lead whose commits wait to be let through one by one.
type stage struct {
	lead  lead
	begun chan []*call
	end   chan func([]*call) // what the commit does in the end
}

func newStage() *stage {
	s := &stage{begun: make(chan []*call), end: make(chan func([]*call))}
	s.lead.commit = func(calls []*call) {
		s.begun <- calls
		(<-s.end)(calls)
	}
	return s
}

func succeed(calls []*call) { answer(calls, nil) }

// start lets a caller in and returns where its answer will be.
func (s *stage) start(ctx context.Context, c *call) chan error {
	done := make(chan error, 1)
	go func() { done <- s.lead.do(ctx, c) }()
	synctest.Wait()
	return done
}

func TestLeaderTakesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		first := s.start(t.Context(), &call{})
		if n := len(<-s.begun); n != 1 {
			t.Fatalf("a lone caller commits %d calls", n)
		}
		var rest []chan error
		for range 50 {
			rest = append(rest, s.start(t.Context(), &call{}))
		}
		s.end <- succeed
		if n := len(<-s.begun); n != 50 {
			t.Errorf("the second leader took %d calls, want all 50 that waited", n)
		}
		s.end <- succeed
		for _, done := range append(rest, first) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if s.lead.held || len(s.lead.waiting) > 0 {
			t.Error("the lead was not put down")
		}
	})
}

func TestCallerMayLeaveOnlyWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		ctx, cancel := context.WithCancel(t.Context())
		first := s.start(ctx, &call{})
		<-s.begun
		second := s.start(ctx, &call{})
		third := s.start(t.Context(), &call{})
		cancel()
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that waited returned %v", err)
		}
		synctest.Wait()
		select {
		case err := <-first:
			t.Fatalf("a leader whose context ended did not wait for the outcome: %v", err)
		default:
		}
		s.end <- succeed
		if err := <-first; err != nil {
			t.Errorf("the leader returned %v for what was committed", err)
		}
		if calls := <-s.begun; len(calls) != 1 {
			t.Errorf("%d calls were committed, want the one that stayed", len(calls))
		}
		s.end <- succeed
		if err := <-third; err != nil {
			t.Error(err)
		}
	})
}

// The lead may be handed to a caller in the moment in which it leaves.
func TestPromotedCallerThatLeavesHandsTheLeadOn(t *testing.T) {
	var l lead
	gone, stays := &call{wake: make(chan struct{}, 2)}, &call{wake: make(chan struct{}, 2)}
	l.held, l.waiting = true, []*call{gone, stays}
	l.promote()
	if !gone.promoted || !l.leave(gone) {
		t.Fatal("the caller could not leave")
	}
	if !stays.promoted || !l.held {
		t.Error("the lead was lost: nobody would commit any more")
	}
	if !l.leave(stays) {
		t.Fatal("the last caller could not leave")
	}
	if l.held {
		t.Error("the lead is held by nobody: the next caller would wait for ever")
	}
	if l.leave(gone) {
		t.Error("a caller left twice")
	}
}

func TestPanickingLeaderAnswersAllAndHandsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		lone := s.start(t.Context(), &call{})
		<-s.begun
		panicked := make(chan any, 1)
		go func() {
			defer func() { panicked <- recover() }()
			_ = s.lead.do(t.Context(), &call{}) // it panics
		}()
		synctest.Wait()
		follower := s.start(t.Context(), &call{})
		s.end <- succeed
		if err := <-lone; err != nil {
			t.Error(err)
		}
		<-s.begun
		next := s.start(t.Context(), &call{})
		s.end <- func([]*call) { panic("a bug") }
		if cause := <-panicked; cause != "a bug" {
			t.Errorf("the leader's panic became %v", cause)
		}
		if err := <-follower; !errors.Is(err, storage.ErrUnknown) || !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("a follower of a leader that panicked was told %v", err)
		}
		<-s.begun
		s.end <- succeed
		if err := <-next; err != nil {
			t.Errorf("after a panic the lead was lost: %v", err)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		first := s.start(t.Context(), &call{})
		<-s.begun
		early := s.start(t.Context(), &call{})
		time.Sleep(maxWait + time.Millisecond)
		if err := s.lead.do(t.Context(), &call{}); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("behind a write that had waited for %v a new one returned %v", maxWait, err)
		}
		s.end <- succeed
		if calls := <-s.begun; len(calls) != 0 {
			t.Errorf("%d calls were carried out though they had waited too long", len(calls))
		}
		s.end <- succeed
		if err := <-early; !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, storage.ErrUnknown) {
			t.Errorf("a write that waited for more than %v returned %v", maxWait, err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}

		full := lead{held: true, waiting: make([]*call, maxQueue)}
		for i := range full.waiting {
			full.waiting[i] = &call{since: time.Now()}
		}
		if err := full.do(t.Context(), &call{}); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("a write behind %d others returned %v", maxQueue, err)
		}
	})
}

func TestSweepCommitsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		var answers []chan error
		answers = append(answers, s.start(t.Context(), &call{}))
		<-s.begun
		answers = append(answers,
			s.start(t.Context(), &call{}),
			s.start(t.Context(), &call{sweep: &sweep{}}),
			s.start(t.Context(), &call{}),
			s.start(t.Context(), &call{sweep: &sweep{}}))
		var got []string
		for range 3 {
			s.end <- succeed
			calls := <-s.begun
			got = append(got, fmt.Sprint(len(calls), calls[0].sweep != nil))
		}
		s.end <- succeed
		for _, done := range answers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if want := []string{"2 false", "1 true", "1 true"}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the commits were %v, want %v", got, want)
		}
	})
}

// Contexts end at all moments; nobody may be forgotten and nobody carried out twice.
func TestNobodyIsForgotten(t *testing.T) {
	var l lead
	var mu sync.Mutex
	carried := map[*call]int{}
	l.commit = func(calls []*call) {
		mu.Lock()
		for _, c := range calls {
			carried[c]++
		}
		mu.Unlock()
		time.Sleep(50 * time.Microsecond)
		answer(calls, nil)
	}
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			for round := range 100 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*round%150)*time.Microsecond)
				c := &call{}
				err := l.do(ctx, c)
				cancel()
				mu.Lock()
				n := carried[c]
				delete(carried, c)
				mu.Unlock()
				if want := map[bool]int{true: 1}[err == nil]; n != want {
					t.Errorf("a call that returned %v was carried out %d times", err, n)
				}
			}
		})
	}
	callers.Wait()
	if l.held || len(l.waiting) > 0 {
		t.Error("the lead was not put down")
	}
}
