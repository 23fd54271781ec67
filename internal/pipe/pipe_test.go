package pipe

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
)

// What one end writes the other reads, and who dials sees when the server leaves.
func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Listen()
		go func() {
			for {
				server, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(server, "good day")
				buffer := make([]byte, 1)
				_, _ = server.Read(buffer) // until the client has a word too
				_ = server.Close()
				_ = server.Close()
			}
		}()
		for range 2 {
			client, gone, err := l.Dial()
			if err != nil {
				t.Fatal(err)
			}
			said := make([]byte, len("good day"))
			if _, err := io.ReadFull(client, said); err != nil || string(said) != "good day" {
				t.Fatalf("it says %q, %v", said, err)
			}
			synctest.Wait()
			select {
			case <-gone:
				t.Fatal("the server is gone before it was answered")
			default:
			}
			if _, err := client.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			<-gone
			if _, err := client.Read(said); !errors.Is(err, io.EOF) {
				t.Errorf("after the end: %v", err)
			}
		}
		if err := errors.Join(l.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accepting after the end: %v", err)
		}
		if _, _, err := l.Dial(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("dialling after the end: %v", err)
		}
	})
}
