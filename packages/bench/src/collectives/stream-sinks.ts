import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { Server } from '@grpc/grpc-js';
import { PeerStreams } from 'locmoe/internal/agent/peer-streams';
import { NO_SECURITY } from 'locmoe/internal/rpc/security';
import { STREAM_RUN } from './stream-bytes.js';

const CONNECT_MS = 10_000;

/** Receives the bytes of a stream. */
export interface Sink {
  readonly take: (chunk: Uint8Array) => void;
  readonly fail: (error: Error) => void;
}

/** Opens the receiving end of a stream on the loopback; returns a function that closes it. */
export type OpenSink = (port: number, sink: Sink) => () => Promise<void> | void;

export const tcpSink: OpenSink = (port, { take, fail }) => {
  const socket = connectTcp(port, '127.0.0.1');
  socket.on('data', take).on('error', fail);
  return () => {
    socket.destroy();
  };
};

/** @param windowBytes flow control window of the stream and of the connection */
export function http2Sink(windowBytes: number): OpenSink {
  return (port, { take, fail }) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`, {
      settings: { initialWindowSize: windowBytes },
    });
    session.on('connect', () => session.setLocalWindowSize(windowBytes)).on('error', fail);
    session.request().on('data', take).on('error', fail);
    return () => session.destroy();
  };
}

/** The receiving agent: decodes frames and returns credit for each quarter of a ring. */
export const grpcSink: OpenSink = (port, { take, fail }) => {
  let [received, credited] = [0, 0];
  const streams = new PeerStreams({
    ...STREAM_RUN,
    node: 0,
    server: new Server(),
    security: NO_SECURITY,
    onPull: () => undefined,
    onFrame: (_node, { payload }) => {
      take(payload);
      received = (received + payload.length) >>> 0;
      if ((received - credited) >>> 0 < STREAM_RUN.ringBytes / 4) return;
      credited = received;
      streams.credit(1, [1, 0, received]);
    },
    onCredit: () => undefined,
    onError: fail,
  });
  streams.connect([{ node: 1, address: `127.0.0.1:${port}` }], CONNECT_MS).catch(fail);
  return () => streams.close();
};
