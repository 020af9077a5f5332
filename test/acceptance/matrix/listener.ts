/**
 * A program for a container's network: sends back what comes by TCP and UDP, over both families. `listener.ts tcp/80 udp/53 ...`
 * One process for all: socat forks for every datagram, and its parent now and then sleeps over the child's signal that it may
 * take the next one (1.7.4, on a busy machine once in some thousand datagrams): from then on nobody is answered.
 */

import { argv } from "node:process";

for (const text of argv.slice(2)) {
  const [protocol, port] = text.split("/");
  if (protocol === "tcp") listenTcp(Number(port));
  else await listenUdp(Number(port));
}
process.stdout.write("listening\n");

function listenTcp(port: number): void {
  Bun.listen({
    hostname: "::",
    port,
    socket: {
      data: (socket, said) => void socket.write(said),
      error: () => undefined, // whoever asked has gone
    },
  });
}

async function listenUdp(port: number): Promise<void> {
  await Bun.udpSocket({
    hostname: "::",
    port,
    socket: {
      data(socket, said, fromPort, fromAddress) {
        try {
          socket.send(said, fromPort, fromAddress);
        } catch {
          // Policy of the host itself may keep it from answering.
        }
      },
      error: () => undefined, // nor may an earlier answer have found anybody
    },
  });
}
