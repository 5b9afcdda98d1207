// Package floors tests the dependencies of the packages. Its tests fail if a
// package imports a package on a higher floor, if a core package links a cloud
// SDK, an SQL driver or test code, or if a program exceeds its size limit.
package floors
