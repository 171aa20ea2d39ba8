import { Client, type ClientDuplexStream, status } from '@grpc/grpc-js';
import type { PullRequestInput } from '../../rpc/generated/messages.js';
import { messagePrefix } from '../../rpc/http2/frames.js';
import { loadProto } from '../../rpc/load-proto.js';
import type { PeerTransport } from './peer-transport.js';

/** HTTP/2 flow-control window of a stream of grpc-js; gRPC's default of 64 KiB costs two thirds of the throughput. */
export const FLOW_CONTROL_WINDOW_BYTES = 4 << 20;

const { Pull } = loadProto('collectives', 'locmoe.collectives.v1.Collectives');

/** Sends all bytes through Node's HTTP/2 and grpc-js, which copies each message to a separate buffer. */
export const grpcTransport: PeerTransport = {
  pull({ address, security, keepaliveMs, timeoutMs, open }, receiver) {
    const client = new Client(address, security.channelCredentials, {
      ...security.clientOptions,
      'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW_BYTES,
      'grpc.keepalive_time_ms': keepaliveMs,
      'grpc.keepalive_timeout_ms': keepaliveMs,
    });
    const call: ClientDuplexStream<PullRequestInput, Buffer> = client.makeBidiStreamRequest(
      Pull.path,
      Pull.requestSerialize,
      (message) => message,
    );
    call.write(open);
    return new Promise((resolve, reject) => {
      let violation: string | null = null;
      const cancel = (why: string) => {
        violation ??= why;
        call.cancel();
      };
      const timer = setTimeout(() => call.cancel(), timeoutMs);
      const ended = new Promise<string | null>((over) => {
        call.once('status', (outcome) => {
          clearTimeout(timer);
          client.close();
          reject(outcome);
          over(outcome.code === status.OK ? null : (violation ?? outcome.details));
        });
      });
      call.once('metadata', () => {
        clearTimeout(timer);
        resolve({ write: (request) => call.write(request), end: () => call.end(), cancel, ended });
      });
      call.on('data', (message: Buffer) => {
        if (violation !== null) return;
        try {
          receiver.take(messagePrefix(message.length));
          receiver.take(message);
        } catch (error) {
          cancel((error as Error).message);
        }
      });
      call.on('error', () => {
        // The handler of `status` reports the same error.
      });
    });
  },

  serve: (call) => ({
    send(parts, done) {
      call.write(Buffer.concat(parts));
      done();
    },
    get isDrained() {
      return call.writableLength === 0 || call.cancelled;
    },
    async close() {
      call.end();
    },
  }),
};
