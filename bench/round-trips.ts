/**
 * One-byte requests and answers over TCP, one at a time; run inside a network namespace by packet-path.bench.ts.
 * `round-trips.ts serve ADDRESS PORT` answers until it is killed; `round-trips.ts ask ADDRESS PORT COUNT` prints microseconds per round.
 */

import { connect, createServer } from "node:net";

const [role, address = "", port = "", count = "1000"] = process.argv.slice(2);

if (role === "serve") {
  createServer((socket) => {
    socket.setNoDelay(true);
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  }).listen(Number(port), address, () => console.log("listening"));
} else {
  const socket = connect(Number(port), address);
  socket.setNoDelay(true);
  let left = Number(count);
  let startMs = 0;
  socket.on("connect", () => {
    startMs = performance.now();
    socket.write("x");
  });
  socket.on("data", () => {
    if (--left > 0) return socket.write("x");
    console.log((((performance.now() - startMs) * 1000) / Number(count)).toFixed(2));
    return socket.destroy();
  });
  socket.on("error", (error) => {
    console.error(error.message);
    process.exit(1);
  });
}
