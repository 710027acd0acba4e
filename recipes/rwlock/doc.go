// Package rwlock is a read-write lock on etcd: any number of readers, or one writer, in order of arrival.
package rwlock
