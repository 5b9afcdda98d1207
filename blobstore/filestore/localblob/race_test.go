// This file tests concurrent create-only writers. Exactly one succeeds, and the
// object is completely the winner's.

package localblob

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

func TestCreateOnlyRacesBetweenGoroutines(t *testing.T) {
	// Two buckets on one folder share only the lock files.
	dir := t.TempDir()
	one, _ := openTest(t, dir, &Options{noSync: true})
	two, _ := openTest(t, dir, &Options{noSync: true})
	for i := range *raceCount {
		key := fmt.Sprintf("races/%d/object", i)
		errs := make([]error, 2)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for j, bkt := range []*blob.Bucket{one, two} {
			wg.Go(func() {
				<-start
				errs[j] = put(context.Background(), bkt, key, fmt.Sprint("writer", j), true)
			})
		}
		close(start)
		wg.Wait()
		winner := 0
		if errs[0] != nil {
			winner = 1
		}
		require.NoError(t, errs[winner])
		require.Equal(t, gcerrors.FailedPrecondition, gcerrors.Code(errs[1-winner]))
		require.ErrorIs(t, errs[1-winner], fs.ErrExist)
		v := fmt.Sprint("writer", winner)
		require.Equal(t, v, version(t, one, key))
		same(t, two, key, v)
	}
	assert.Len(t, files(t, dir), 2**raceCount, "an object and its attributes each, and nothing else")
}

func TestCreateOnlyRacesBetweenProcesses(t *testing.T) {
	dir := t.TempDir()
	bkt, _ := openTest(t, dir, nil)
	type child struct {
		in  io.WriteCloser
		out *bufio.Scanner
	}
	var children [2]child
	for i := range children {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"=race", "LOCALBLOB_TEST_DIR="+dir, fmt.Sprint("LOCALBLOB_TEST_NAME=process", i))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			in.Close()
			assert.NoError(t, cmd.Wait())
		})
		children[i] = child{in: in, out: bufio.NewScanner(out)}
	}
	for i := range *raceCount {
		key := fmt.Sprintf("races/%d/object", i)
		for _, c := range children {
			_, err := fmt.Fprintln(c.in, key)
			require.NoError(t, err)
		}
		var won []string
		for j, c := range children {
			require.True(t, c.out.Scan(), "the other process answers")
			switch got := c.out.Text(); got {
			case "won":
				won = append(won, fmt.Sprint("process", j))
			default:
				require.Equal(t, "lost", got)
			}
		}
		require.Len(t, won, 1)
		require.Equal(t, won[0], version(t, bkt, key))
		same(t, bkt, key, won[0])
	}
	assert.Len(t, files(t, dir), 2**raceCount)
}

// raceChild writes each key that it reads from standard input.
func raceChild() int {
	bkt, err := openBlob(os.Getenv("LOCALBLOB_TEST_DIR"), &Options{noSync: true})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer bkt.Close()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		err := put(context.Background(), bkt, in.Text(), os.Getenv("LOCALBLOB_TEST_NAME"), true)
		switch {
		case err == nil:
			fmt.Println("won")
		case gcerrors.Code(err) == gcerrors.FailedPrecondition:
			fmt.Println("lost")
		default:
			fmt.Println(err)
		}
	}
	return 0
}
