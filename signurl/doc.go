// Package signurl signs and verifies links to stored objects: URLs that allow one method on one key until a time, under
// constraints, to whoever has them. It is for what cannot presign by itself, such as local files, and for links that
// pass the application's own handler on any backend, which alone can be revoked, counted or bound to a user.
//
// A [Signer] makes a URL of a [Grant], and turns a request back into the Grant. It keeps no state: revocations and uses
// are counted elsewhere, by the link's grant ID. It needs nothing but the standard library.
//
// A signed URL is a secret. No error of this package contains one, or its signature; keep them out of logs too. What a
// link says can be read from its URL, the user ID and the IP address it is bound to included.
//
// # Format
//
// This section is the definition of version 1; links of another implementation that follows it verify here.
//
// A link is the base URL, which ends in a slash, followed by the object key, a question mark and the parameters. In the
// key's bytes, all but the unreserved characters of RFC 3986 (A-Z a-z 0-9 - . _ ~) and the slash are percent-encoded, in
// the parameters' values the slash too. The parameters, in the order in which they are written, are:
//
//	bt-v       always    1, the version
//	bt-kid     always    ID of the key that signed: 1 to 32 characters of A-Z a-z 0-9 . _ -
//	bt-m       always    GET, HEAD, PUT or DELETE; GET allows HEAD too
//	bt-exp     always    expiry, in seconds since 1970-01-01 UTC; from that second on the link is dead
//	bt-gid     always    grant ID: 1 to 64 characters of A-Z a-z 0-9 - . _ ~
//	bt-ct      PUT       media type of the body
//	bt-len     PUT       exact number of bytes of the body, 1 or more
//	bt-max     PUT       greatest number of bytes of the body, 1 or more
//	bt-sha256  PUT       SHA-256 of the body, in lower-case hexadecimal
//	bt-new     PUT       1: an existing object must not be replaced
//	bt-fn      GET HEAD  file name for saving: no control characters, no slash, no backslash
//	bt-inl     GET HEAD  1: to be shown, not saved
//	bt-rt      GET HEAD  media type of the answer
//	bt-uid     any       the only user who may use it: no control characters
//	bt-ip      any       the only address that may use it, as RFC 5952 writes it; IPv4 in dotted form
//	bt-uses    any       how often it may be used, 1 or more
//	bt-sig     always    signature, in base64url without padding
//
// Numbers are decimal, without sign and leading zeros. A parameter that does not apply is left out, never empty. Names,
// media types and user IDs have at most 255 bytes. All text is UTF-8; control characters are those of Unicode's category
// Cc.
//
// The signature is HMAC-SHA-256, under the key's 32 to 1,024 bytes, of: the 15 bytes "blobtrail link" and 0x00, the
// version as one byte 0x01, and then 17 fields: the audience, the object key, and the decoded values of bt-kid, bt-m,
// bt-exp and so on to bt-uses, in the order above. Each is preceded by its length in bytes as a 16-bit big-endian number;
// a parameter that was left out counts as empty. The audience is not in the URL: it is agreed between those who sign and
// those who verify, and is the decoded path of the base URL (such as "/files/") unless set otherwise.
//
// With the key "k1" of the bytes 0x00 to 0x1f, the base URL https://files.example.com/files/, the object key
// "invoices/März 1.pdf", the method GET, the expiry 2030-01-01T00:00:00Z, the grant ID "G1", the file name "März.pdf"
// and one use, the link is (without the line breaks):
//
//	https://files.example.com/files/invoices/M%C3%A4rz%201.pdf
//	?bt-v=1&bt-kid=k1&bt-m=GET&bt-exp=1893456000&bt-gid=G1&bt-fn=M%C3%A4rz.pdf&bt-uses=1
//	&bt-sig=sdNcoBwb7BpEmarNlDOSG8QT16onMKKHezfdXjcKUO8
//
// # Verification
//
// Parameters may come in any order, and percent-encoded otherwise than above, because intermediaries re-encode: decoded
// values count, decoded once, with + as a space in the query. Parameters whose names do not begin with "bt-" are ignored
// and not signed; trackers and hosts add such. Refused with [ErrSignature] are: a name that begins with "bt-" in any
// capitals and is not in the list; one that occurs twice, is empty or is missing; paths and queries longer than 4,096
// bytes each; and a path with an encoded slash. So are, when signing too, object keys that are empty, longer than 1,024
// bytes or not UTF-8, or that contain a backslash, a control character (U+0000 to U+001F, U+007F), an empty segment or a
// segment "." or "..".
//
// Of the request's URL only the path and the query count. The path must be the base URL's followed by the key; any number
// of the base path's leading segments may be missing, as http.StripPrefix and proxies remove them. Thus for the base
// path /api/files/ and the key k, the paths /api/files/k, /files/k and /k are the same.
//
// # Rotation
//
// Every Signer has a list of keys, of which the first signs and all verify. Put a new key second in the list on all
// servers, then first, and remove the old one when its last link has expired, after [Options].MaxExpiry.
package signurl
