package blobhttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// TestIntakeHasOneSetOfRules sends the same files in a form and in direct
// uploads.
func TestIntakeHasOneSetOfRules(t *testing.T) {
	var seen []blobhttp.File
	saved := map[string]bool{}
	in := blobhttp.Intake{
		Prefix: "in", MaxSize: 100, AllowedTypes: []string{"application/pdf"},
		Prepare: func(_ context.Context, f *blobhttp.File) error {
			seen = append(seen, *f)
			f.Attrs = map[string]string{"number": f.Fields.Get("number")}
			return nil
		},
		Save: func(_ context.Context, files []blobhttp.Stored) error {
			for _, f := range files {
				saved[f.Object.Key] = f.Staged != nil
			}
			return nil
		},
	}
	h := newDirectHost(t, false, in)
	in.Store = h.store
	h.mux.Handle("/upload", in.Form(nil))
	const name = `C:\Users\Anna\Desktop\März.pdf`

	ct, body := formBody(t, formPart{name: "number", content: "42"}, formPart{name: "file", filename: name, contentType: "application/pdf", content: pdf})
	require.Equal(t, 201, h.do("POST", h.url+"/upload", body, "Content-Type", ct).status)
	ticket := h.begin(t, blobhttp.DirectBegin{Filename: name, ContentType: "application/pdf", Size: int64(len(pdf)), Fields: map[string]string{"number": "42"}})
	h.put(t, ticket, pdf)
	require.Equal(t, 200, h.post("complete", ticket.DirectEnd).status)

	require.Len(t, seen, 2)
	assert.NotNil(t, seen[0].Body)
	assert.Nil(t, seen[1].Body)
	assert.Equal(t, "file", seen[0].Field)
	assert.Equal(t, int64(len(pdf)), seen[1].Size)
	for _, f := range seen {
		assert.Equal(t, "März.pdf", f.Filename, "without the folders of its user")
		assert.Equal(t, "application/pdf", f.ContentType)
		assert.Equal(t, "42", f.Fields.Get("number"))
		assert.EqualValues(t, 100, f.Options.MaxSize)
	}
	uploads := h.trail(audit.ActionUpload)
	require.Len(t, uploads, 2)
	for _, e := range uploads {
		assert.Equal(t, audit.OutcomeOK, e.Outcome)
		assert.Equal(t, "42", e.Attrs["number"])
		assert.Equal(t, "März.pdf", e.Details.Filename)
		staged, ok := saved[e.Key]
		assert.True(t, ok)
		assert.Equal(t, e.Details.Staged, staged, "the row can decide about a file that is staged")
	}
}

// TestPrepareCantSetWhatDoesNotApply checks that an inapplicable option is an
// error of the program, and is not ignored.
func TestPrepareCantSetWhatDoesNotApply(t *testing.T) {
	for name, set := range map[string]func(*blobstore.UploadOptions){
		"Overwrite": func(o *blobstore.UploadOptions) { o.Overwrite = true },
		"Link":      func(o *blobstore.UploadOptions) { o.Link = new(blobstore.LinkOptions) },
	} {
		t.Run(name, func(t *testing.T) {
			in := blobhttp.Intake{Prepare: func(_ context.Context, f *blobhttp.File) error { set(&f.Options); return nil }}
			h := newDirectHost(t, false, in)
			in.Store = h.store
			h.mux.Handle("/upload", in.Form(nil))
			ct, body := formBody(t, formPart{name: "f", filename: "a", content: digits})
			assert.Equal(t, 500, h.do("POST", h.url+"/upload", body, "Content-Type", ct).status)
			assert.Equal(t, 500, h.post("begin", blobhttp.DirectBegin{}).status)
			assert.Empty(t, h.trail())
			for _, err := range h.errs.all() {
				assert.ErrorContains(t, err, "File.Options.Overwrite or Link")
			}
		})
	}
}

// TestFilesWithoutAName checks that a file without a name is stored, and that a
// plain field is not.
func TestFilesWithoutAName(t *testing.T) {
	type part struct{ header, content string }
	large := strings.Repeat("x", 100<<10)
	for name, c := range map[string]struct {
		part part
		want string // name of the file; empty for a field
		size int
	}{
		"an empty name":              {part{"; filename=\"\"", digits}, "file", 10},
		"folders without a name":     {part{"; filename=\"C:\\\\Users\\\\\"", digits}, "file", 10},
		"no name, a type of a file":  {part{"\r\nContent-Type: application/pdf", pdf}, "file", len(pdf)},
		"no name, large":             {part{"\r\nContent-Type: application/octet-stream", large}, "file", len(large)},
		"a name of Windows":          {part{"; filename=\"C:\\Users\\Anna\\Desktop\\a.txt\"", digits}, "a.txt", 10},
		"a share of Windows":         {part{"; filename=\"\\\\server\\share\\a.txt\"", digits}, "a.txt", 10},
		"a name of Unix":             {part{"; filename=\"/home/anna/a.txt\"", digits}, "a.txt", 10},
		"a field":                    {part{"", digits}, "", 0},
		"a field of text":            {part{"\r\nContent-Type: text/plain; charset=utf-8", digits}, "", 0},
		"a field of JSON":            {part{"\r\nContent-Type: application/json", `{"a":1}`}, "", 0},
		"a field of JSON of a kind":  {part{"\r\nContent-Type: application/vnd.x+json", `{"a":1}`}, "", 0},
		"no file chosen":             {part{"; filename=\"\"\r\nContent-Type: application/octet-stream", ""}, "", 0},
		"no file chosen, no name":    {part{"\r\nContent-Type: application/octet-stream", ""}, "", 0},
		"a field of a type not sent": {part{"\r\nContent-Type: nonsense;;", digits}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newUploadHost(t, setup{}, blobhttp.Intake{}, nil)
			body := fmt.Sprintf("--b\r\nContent-Disposition: form-data; name=\"x\"%s\r\n\r\n%s\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"last.bin\"\r\n\r\n%s\r\n--b--\r\n",
				c.part.header, c.part.content, digits)
			a := h.do("POST", h.url+"/upload", body, "Content-Type", "multipart/form-data; boundary=b")
			require.Equal(t, 201, a.status, a.body)
			var got blobhttp.Uploaded
			require.NoError(t, json.Unmarshal([]byte(a.body), &got))
			if c.want == "" {
				require.Len(t, got.Files, 1)
				return
			}
			require.Len(t, got.Files, 2)
			assert.Equal(t, c.want, got.Files[0].Filename)
			assert.Equal(t, "x", got.Files[0].Field)
			assert.EqualValues(t, c.size, got.Files[0].Size)
		})
	}
}

// TestRefusalsNameTheLimit checks that a refusal names the limit, regardless of
// its source.
func TestRefusalsNameTheLimit(t *testing.T) {
	file := formPart{name: "f", filename: "a.txt", content: digits + digits}
	for name, c := range map[string]struct {
		store  blobstore.Options
		intake blobhttp.Intake
		form   blobhttp.FormOptions
		begin  *blobhttp.DirectBegin // nil for a form
		parts  int
		status int
		detail string
	}{
		"size of the intake":           {intake: blobhttp.Intake{MaxSize: 12}, status: 413, detail: "The limit is 12 bytes."},
		"size of the store":            {store: blobstore.Options{MaxSize: 13}, status: 413, detail: "The limit is 13 bytes."},
		"size of a request":            {form: blobhttp.FormOptions{MaxTotalSize: 100}, status: 413, detail: "The limit is 100 bytes."},
		"size of a direct upload":      {intake: blobhttp.Intake{MaxSize: 14}, begin: &blobhttp.DirectBegin{Size: 15}, status: 413, detail: "The limit is 14 bytes."},
		"size of Prepare":              {intake: blobhttp.Intake{Prepare: func(_ context.Context, f *blobhttp.File) error { f.Options.MaxSize = 15; return nil }}, status: 413, detail: "The limit is 15 bytes."},
		"type":                         {intake: blobhttp.Intake{AllowedTypes: []string{"application/pdf", "image/*"}}, status: 415, detail: "Files of this type are not allowed. Allowed types: application/pdf, image/*."},
		"declared type":                {intake: blobhttp.Intake{AllowedTypes: []string{"image/*"}}, begin: &blobhttp.DirectBegin{ContentType: "text/html"}, status: 415, detail: "Files of this type are not allowed. Allowed types: image/*."},
		"number of files":              {form: blobhttp.FormOptions{MaxFiles: 2}, parts: 3, status: 413, detail: "At most 2 files are allowed."},
		"number of files, the default": {parts: 33, status: 413, detail: "At most 32 files are allowed."},
	} {
		t.Run(name, func(t *testing.T) {
			h := newUploadHost(t, setup{opts: c.store}, c.intake, &c.form)
			c.intake.Store = h.store
			h.mux.Handle("/direct/", c.intake.Direct())
			contentType, body := formBody(t, slices.Repeat([]formPart{file}, max(c.parts, 1))...)
			url := h.url + "/upload"
			if c.begin != nil {
				raw, err := json.Marshal(c.begin)
				require.NoError(t, err)
				url, contentType, body = h.url+"/direct/begin", "application/json", string(raw)
			}
			a := h.do("POST", url, body, "Content-Type", contentType)
			require.Equal(t, c.status, a.status, a.body)
			assert.Equal(t, c.detail, a.problem(t).Detail)
		})
	}
	rec := writeError(fmt.Errorf("reading: %w", &http.MaxBytesError{Limit: 16}))
	assert.Equal(t, "The limit is 16 bytes.", rec.problem(t).Detail)
}
