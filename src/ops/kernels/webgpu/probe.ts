import { Device } from './device.js';
import type { DeviceProbe } from './device-probe.js';
import { measureSpeed } from './products.js';

// The program of `probeDevice`, whose argument is the path of Dawn's addon.

const device = new Device(process.argv[2]!);
// Of a driver that computes on the processor it would take seconds, and tell nothing.
const flopsPerS = device.info.isSoftware ? null : measureSpeed(device);
const probe: DeviceProbe = { ...device.info, flopsPerS };
console.log(JSON.stringify(probe));
process.exit();
