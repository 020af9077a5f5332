#!/bin/sh
# Makes etcd_pb.ts from etcd.proto. Only needed after a change of the .proto; the tools are not packages of Margay:
#   npm install --no-save @bufbuild/buf@1.75.0 @bufbuild/protoc-gen-es@2.17.0
set -eu
cd "$(dirname "$0")"
npx buf generate --template '{"version":"v2","plugins":[{"local":"protoc-gen-es","out":".","opt":["target=ts","erasable_syntax=true"]}]}' .
