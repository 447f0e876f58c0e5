package chatproto_test

import "flag"

// update rewrites what this package's tests compare with: the golden files
// under testdata and the generated tables of SPEC.md.
var update = flag.Bool("update", false, "rewrite the golden files")
