/** What the policy says about a feature; one it does not name is on. Pure. */
import type { ContextPart, FeatureName, IStatus } from '../wire/types';

const NAMES: readonly FeatureName[] = [
  'attach_files',
  'export',
  'images',
  'search'
];

export function isOff(status: IStatus | null, name: FeatureName): boolean {
  return status?.policy.features[name]?.enabled === false;
}

export function featuresOff(status: IStatus | null): ReadonlySet<FeatureName> {
  return new Set(NAMES.filter(name => isOff(status, name)));
}

const FEATURE_OF: Partial<Record<ContextPart['type'], FeatureName>> = {
  file: 'attach_files',
  folder: 'attach_files',
  image: 'images'
};

/** The feature that a part of this kind needs; undefined: none. */
export function featureOfKind(
  kind: ContextPart['type']
): FeatureName | undefined {
  return FEATURE_OF[kind];
}

export function isLocked(
  off: ReadonlySet<FeatureName>,
  kind: ContextPart['type']
): boolean {
  const feature = featureOfKind(kind);
  return feature !== undefined && off.has(feature);
}
