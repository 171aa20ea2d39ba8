import { startThread } from '../../../os/start-thread.js';
import { answerMemory } from './answer.js';
import type { DeviceThreadData } from './commands.js';
import { Device } from './device.js';

/**
 * Opens the device that Dawn finds.
 *
 * @param library path of Dawn's addon
 * @throws TrainerError as `Device`
 */
export function openDevice(library: string): Device {
  const answer = answerMemory();
  const data: DeviceThreadData = { library, answer };
  const thread = startThread(new URL('./device-thread.js', import.meta.url), data);
  thread.unref();
  // The thread tells its errors itself, as long as it can.
  thread.on('error', () => undefined);
  return new Device({
    answer,
    post: (commands, transferred) => thread.postMessage(commands, transferred),
  });
}
