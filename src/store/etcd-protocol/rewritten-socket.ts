/**
 * A client's socket as the HTTP/2 server is to see it: with the :authority of each request rewritten. A stream of its
 * own, because Bun's HTTP/2 server otherwise reads a socket natively, past every listener. Costs nothing measurable.
 */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { AuthorityRewriter } from "./authority-rewriter.ts";

/** `first`: what has been read of the socket already. */
export function rewrittenSocket(socket: Socket, first: Buffer): Duplex {
  const rewriter = new AuthorityRewriter();
  const duplex = new Duplex({
    read: () => void socket.resume(),
    write(chunk: Buffer, _encoding, done) {
      if (socket.write(chunk)) done();
      else socket.once("drain", () => done());
    },
    final: (done) => void socket.end(() => done()),
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  const feed = (chunk: Buffer) => {
    const bytes = rewriter.push(chunk);
    if (bytes.length > 0 && !duplex.push(bytes)) socket.pause();
  };
  socket.on("data", feed);
  socket.on("end", () => duplex.push(null));
  socket.on("close", () => duplex.destroy());
  // A client that hung up; the HTTP/2 session hears of it by the close.
  duplex.on("error", () => undefined);
  feed(first);
  return duplex;
}
