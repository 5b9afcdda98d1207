package integration

import (
	"testing"

	"github.com/blobtrail/blobtrail/internal/crash"
)

func TestMain(m *testing.M) {
	crash.Child()
	serveGCS()
	migrateChild()
	Main(m)
}
