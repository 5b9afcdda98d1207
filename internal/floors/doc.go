// Package floors holds the house together: its tests fail when a package imports
// upwards, when a core package links a cloud SDK, an SQL driver or test code, or
// when a program gets larger than it may.
package floors
