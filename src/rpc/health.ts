import * as grpc from '@grpc/grpc-js';
import { service } from 'grpc-health-check';
import { TrainerError } from '../errors.js';
import { parseAddress } from './address.js';
import { findConnectionProblem } from './connection-problem.js';
import type { Security } from './security.js';

const DEADLINE_MS = 3_000;

/**
 * Checks that a coordinator or node agent is serving (grpc.health.v1).
 *
 * @param address host:port
 * @throws TrainerError `UNAVAILABLE` if it is not serving or does not answer in time
 */
export async function checkHealth(address: string, security: Security): Promise<void> {
  const target = parseAddress('--address', address);
  const { path, requestSerialize, responseDeserialize } = service.Check!;
  const client = new grpc.Client(address, security.channelCredentials, security.clientOptions);
  try {
    const status = await new Promise<string>((resolve, reject) => {
      client.makeUnaryRequest<object, object>(
        path,
        requestSerialize,
        responseDeserialize,
        { service: '' },
        { deadline: Date.now() + DEADLINE_MS },
        (error, reply) => (error ? reject(error) : resolve((reply as { status: string }).status)),
      );
    });
    if (status !== 'SERVING') throw new TrainerError('UNAVAILABLE', `${address} is ${status}`);
  } catch (error) {
    if (error instanceof TrainerError) throw error;
    const { code, details } = error as grpc.ServiceError;
    const problem =
      code === grpc.status.DEADLINE_EXCEEDED
        ? `no answer within ${DEADLINE_MS / 1000} s`
        : (await findConnectionProblem(target, security))?.text;
    throw new TrainerError('UNAVAILABLE', `${address} is not healthy: ${problem ?? details}`);
  } finally {
    client.close();
  }
}
