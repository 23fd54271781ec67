package storagetest

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// together calls do(0) to do(n-1) from n goroutines that start at one moment and
// returns the first error when all are done.
func together(n int, do func(i int) error) error {
	start := make(chan struct{})
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// alongside lets writers write for some rounds while readers read, at least once
// each and until the last writer is done.
func alongside(writers, rounds int, write func(writer, round int) error, readers int, read func(round int) error) error {
	var done atomic.Int64
	return together(writers+readers, func(i int) error {
		if i < writers {
			defer done.Add(1)
			for round := range rounds {
				if err := write(i, round); err != nil {
					return err
				}
				runtime.Gosched() // a fast backend would be done before anybody has looked
			}
			return nil
		}
		for round := 0; round == 0 || done.Load() < int64(writers); round++ {
			if err := read(round); err != nil {
				return err
			}
			runtime.Gosched()
		}
		return nil
	})
}
