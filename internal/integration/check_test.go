package integration

// This file tests Store.Check with a service that refuses one operation, is
// dead, or hangs. Check must name the missing permission in the terms of the
// service.

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/azurestore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/secret"
)

// checking creates a store on b and checks it.
func checking(t *testing.T, b driver.Bucket) error {
	t.Helper()
	trail := &audit.Memory{}
	store, err := blobstore.New(b, trail, nil)
	require.NoError(t, err)
	begun := time.Now()
	err = store.Check(t.Context())
	require.Less(t, time.Since(begun), 15*time.Second) // 5 s on an idle machine
	entries := 0
	for e, err := range trail.Entries(t.Context(), audit.Query{}) {
		require.NoError(t, err)
		require.Equal(t, audit.ActionCheck, e.Action)
		entries++
	}
	require.Equal(t, 1, entries+trail.OpenIntents(), "recorded once, or still open")
	return err
}

func requireStep(t *testing.T, err error, step, need string) {
	t.Helper()
	var ce *blobstore.CheckError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, step, ce.Step, "%v", err)
	require.ErrorContains(t, err, need)
	t.Log(err)
}

// swapped contains replaceable credentials.
type swapped struct {
	atomic.Pointer[aws.Credentials]
}

func (s *swapped) Retrieve(context.Context) (aws.Credentials, error) { return *s.Load(), nil }

// assumed returns temporary credentials with the given policy.
func (s *S3) assumed(t *testing.T, policy string) *aws.Credentials {
	t.Helper()
	client := sts.New(sts.Options{
		Region: "us-east-1", BaseEndpoint: &s.Endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
	})
	out, err := client.AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:x:x:x:x"), RoleSessionName: aws.String("test"), Policy: &policy,
	})
	require.NoError(t, err)
	c := out.Credentials
	return &aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}
}

func TestCheckNamesThePermissionOnS3(t *testing.T) {
	s := MinIO(t)
	for action, step := range map[string]string{
		"": "", "s3:PutObject": "write", "s3:GetObject": "read", "s3:ListBucket": "list", "s3:DeleteObject": "delete",
		"s3:ListBucketMultipartUploads": "sweep", "s3:AbortMultipartUpload": "copy",
	} {
		t.Run("without "+action, func(t *testing.T) {
			o := s.options()
			creds := &swapped{}
			creds.Store(&aws.Credentials{AccessKeyID: s.AccessKey, SecretAccessKey: s.SecretKey})
			o.Config = &aws.Config{Credentials: creds}
			o.AccessKey, o.SecretKey = secret.Text{}, secret.Text{}
			b := openS3(t, o)
			policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}%s]}`
			deny := ""
			if action != "" {
				deny = `,{"Effect":"Deny","Action":"` + action + `","Resource":"*"}`
			}
			creds.Store(s.assumed(t, fmt.Sprintf(policy, deny)))
			err := checking(t, b)
			if action == "" {
				require.NoError(t, err, "with a session token, and no policy against it")
				return
			}
			requireStep(t, err, step, action)
		})
	}
}

func TestCheckNamesThePermissionOnAzure(t *testing.T) {
	a := Azurite(t)
	for may, step := range map[string]string{"rcwdl": "", "rdl": "write", "cwdl": "read", "rcwl": "delete"} {
		t.Run(may, func(t *testing.T) {
			o := a.options()
			_ = openAzure(t, o)
			cred, err := container.NewSharedKeyCredential(a.Account, a.Key)
			require.NoError(t, err)
			q, err := sas.BlobSignatureValues{
				Protocol: sas.ProtocolHTTPSandHTTP, ExpiryTime: time.Now().Add(time.Hour).UTC(), ContainerName: o.Container, Permissions: may,
			}.SignWithSharedKey(cred)
			require.NoError(t, err)
			o.ConnectionString, o.AccountURL, o.SASToken = secret.Text{}, a.Endpoint, secret.New(q.Encode())
			err = checking(t, openAzure(t, o))
			if step == "" {
				require.NoError(t, err)
				return
			}
			requireStep(t, err, step, "Storage Blob Data Contributor")
			require.NotContains(t, err.Error(), q.Signature())
			require.NotContains(t, err.Error(), "sig=")
		})
	}
}

func TestCheckNamesThePermissionOnGCS(t *testing.T) {
	for permission, refused := range map[string]func(r *http.Request) bool{
		"storage.objects.create": func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/upload/") },
		"storage.objects.get":    func(r *http.Request) bool { return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/o/") },
		"storage.objects.list":   func(r *http.Request) bool { return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/o") },
		"storage.objects.delete": func(r *http.Request) bool { return r.Method == http.MethodDelete },
	} {
		t.Run(permission, func(t *testing.T) {
			_, b, f := throughFaults["gcs/fake+gate"](t)
			f.set(func(w http.ResponseWriter, r *http.Request) bool {
				if !refused(r) {
					return false
				}
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusForbidden)
				_, _ = fmt.Fprintf(w, `{"error":{"code":403,"message":"signer does not have %s access","errors":[{"reason":"forbidden"}]}}`, permission)
				return true
			})
			step := map[string]string{"create": "write", "get": "read", "list": "list", "delete": "delete"}[permission[strings.LastIndex(permission, ".")+1:]]
			requireStep(t, checking(t, b), step, permission)
		})
	}
}

// Check reports a dead service within 5 seconds, in every form of failure.
func TestCheckOfADeadService(t *testing.T) {
	t.Parallel()
	for name, open := range throughFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, b, f := open(t)
			require.NoError(t, checking(t, b))
			f.set(func(_ http.ResponseWriter, r *http.Request) bool {
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				return true
			})
			err := checking(t, b)
			requireStep(t, err, "write", "check the address and the network")
			f.CloseClientConnections()
			require.NoError(t, f.Listener.Close())
			requireStep(t, checking(t, b), "write", "check the address and the network")
		})
	}
}

// A SAS token is part of every URL, and HTTP errors contain URLs.
func TestErrorsHoldNoSASToken(t *testing.T) {
	t.Parallel()
	a := Azurite(t)
	o := a.options()
	_ = openAzure(t, o)
	cred, err := container.NewSharedKeyCredential(a.Account, a.Key)
	require.NoError(t, err)
	q, err := sas.BlobSignatureValues{
		Protocol: sas.ProtocolHTTPSandHTTP, ExpiryTime: time.Now().Add(time.Hour).UTC(), ContainerName: o.Container, Permissions: "rcwdl",
	}.SignWithSharedKey(cred)
	require.NoError(t, err)
	f := newFaulty(t, strings.TrimSuffix(a.Endpoint, "/"+a.Account))
	o.ConnectionString, o.AccountURL, o.SASToken = secret.Text{}, f.URL+"/"+a.Account, secret.New(q.Encode())
	b := openAzure(t, o)
	f.CloseClientConnections()
	require.NoError(t, f.Listener.Close())
	ctx := t.Context()
	_, readErr := b.Read(ctx, "k", 0, -1)
	_, attrsErr := b.Attributes(ctx, "k")
	var listErr error
	for _, listErr = range b.List(ctx, &blob.ListOptions{}) {
	}
	for name, err := range map[string]error{
		"write": write(ctx, b, "k", []byte("x"), -1, true), "read": readErr, "attributes": attrsErr, "list": listErr,
		"delete": b.Delete(ctx, "k", &driver.DeleteOptions{}), "copy": b.Copy(ctx, "k", "l", &driver.CopyOptions{}),
	} {
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "sig=", name)
		require.NotContains(t, err.Error(), q.Signature(), name)
	}
	o.AccountURL = f.URL + "/" + a.Account
	_, err = azurestore.Open(ctx, o)
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), "sig=")
}
