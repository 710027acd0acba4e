// Package fencing keeps a holder that has been replaced from writing: it carries
// fencing tokens from whoever gives a hold to whoever guards a resource.
//
// A process can be paused after it has looked at its lock and before its write
// arrives. No lock service can prevent that; the resource can. Each hold comes
// with a [Token], larger than that of every earlier holder of the same resource;
// the holder sends it along with every write, and the resource refuses a token
// smaller than the largest that it has seen.
//
// The package uses the standard library alone: its user is the resource, which
// has no reason to link a lock service.
//
// # The way of a token
//
// A [Claim] names the resource, the token and the [Mode] of a hold. It travels in
// a [context.Context]: a hold's context carries its claim already ([NewContext]
// is for those who make holds or receive claims over a wire), and a guard takes
// it from there ([FromContext]). Guards fail closed. A context without a claim,
// with several and no [For] to choose among them, or with a claim whose hold has
// ended in this process, is an error and never a pass.
//
// # What a guard must do
//
// A [Gate] is the resource's side. Two things decide whether it protects anything:
//
// Seal first. Refusing smaller tokens does nothing until a larger one has been
// seen. Between the moment a new holder is chosen and its first write, the
// resource still knows only the old token, and a late write of the old holder is
// let in: possibly after the new holder has read the state that it will build on.
// So a new holder presents its token ([Gate.Seal]) before it does anything else,
// before it reads.
//
// Check and write in one step. A check followed by a write is two steps, and a
// larger token can be admitted between them. The comparison and the write belong
// in one transaction, one conditional request, or under one lock of the resource.
// [Memory.Do] is that step for a resource in this process.
//
// The largest token seen must outlive a restart of the resource and must never be
// deleted, or an old holder is let in again.
//
// # Guards
//
// Guards for common resources are packages below this one: fencing/etcdfence for etcd, fencing/sqlfence for SQL databases,
// fencing/filefence for files, fencing/objectfence for object stores, fencing/httpfence and fencing/grpcfence for services. docs/fencing.md in the repository tells how to choose, and fencing/fencingtest tests a
// guard of your own.
//
// # What is promised of order
//
// A token is larger, by [Token.Compare], than the tokens of all earlier holders of
// the same resource. Nothing else is promised: tokens are not consecutive, tokens
// of different resources mean nothing to each other, and how a token is made may
// change. Holders of shared claims on one resource hold at the same time; the order
// of their tokens says nothing about them.
//
// # Restore
//
// Tokens come from the store's revisions, and restoring a snapshot moves those
// back: new holders would get smaller tokens than the resources have seen, and be
// refused. A token therefore has room for a restore epoch, which counts before the
// revision, and for a local sequence, which counts after it. Both are 0 until they
// are needed, and such a token reads as a plain number: "48213". Store tokens in a
// form with room for both ([Token.String], [Token.Sortable]); [Token.Int64] says so
// when a token no longer fits a number.
package fencing
