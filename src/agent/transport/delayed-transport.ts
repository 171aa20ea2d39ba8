import type { FaultyConnection, FaultyLink } from '../faulty-link.js';
import { LinkLimit, type LinkSpeed } from '../link-limit.js';
import type { FrameSender, PeerTransport } from './peer-transport.js';

/** Approximate size of a grant of credit on a slow link. */
const CREDIT_BYTES = 40;

/** Limits each stream's frames to the given speed. */
export function slowTransport(base: PeerTransport, speed: LinkSpeed): PeerTransport {
  return { pull: base.pull, serve: (call) => delayed(base.serve(call), new LinkLimit(speed)) };
}

/**
 * Lets faults of the link delay frames in both directions, and the credit that is granted for received frames.
 *
 * @param base transport whose `pull` does not reuse memory that its receiver has taken
 */
export function faultyTransport(base: PeerTransport, link: FaultyLink): PeerTransport {
  return {
    async pull(options, receiver) {
      const connection = link.connection();
      const pulled = base.pull(options, {
        // Delayed bytes must not be written to their destination yet.
        place: () => null,
        filled: () => undefined,
        take: (bytes) =>
          connection.pass(bytes.length, () => {
            try {
              receiver.take(bytes);
            } catch (error) {
              void pulled.then(({ cancel }) => cancel((error as Error).message));
            }
          }),
      });
      const { write, ...call } = await pulled;
      return { ...call, write: (request) => connection.pass(CREDIT_BYTES, () => write(request)) };
    },
    serve: (call) => delayed(base.serve(call), link.connection()),
  };
}

/** Copies frames, as the memory of their parts is reused, and sends them when `connection` has carried them. */
function delayed(sender: FrameSender, connection: FaultyConnection): FrameSender {
  let numHeld = 0;
  let isClosed = false;
  return {
    send(parts, done) {
      const encoded = Buffer.concat(parts);
      done();
      numHeld++;
      connection.pass(encoded.length, () => {
        numHeld--;
        if (!isClosed) sender.send([encoded], () => undefined);
      });
    },
    get isDrained() {
      return numHeld === 0 && sender.isDrained;
    },
    close(timeoutMs) {
      isClosed = true;
      return sender.close(timeoutMs);
    },
  };
}
