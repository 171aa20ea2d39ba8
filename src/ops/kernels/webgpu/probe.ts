import type { DeviceProbe } from './device-probe.js';
import { openDevice } from './open-device.js';
import { measureSpeed } from './products.js';

// The program of `probeDevice`, whose argument is the path of Dawn's addon.

const device = openDevice(process.argv[2]!);
// The speed of a driver that computes on the processor takes seconds to measure, and tells nothing.
const flopsPerS = device.info.isSoftware ? null : measureSpeed(device);
const probe: DeviceProbe = { ...device.info, flopsPerS };
console.log(JSON.stringify(probe));
process.exit();
