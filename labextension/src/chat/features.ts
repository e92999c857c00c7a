/** What the policy says about a feature; one it does not name is open to all. */
import type { IFeature, IStatus } from '../wire/types';

export type FeatureName = 'upload' | 'export' | 'history' | 'images' | 'titles';

const OPEN: IFeature = { enabled: true };

export function featureOf(status: IStatus | null, name: FeatureName): IFeature {
  return status?.policy.features[name] ?? OPEN;
}
