/** Why a feature is locked, in the admin's words if there are any. */
import type { TranslationBundle } from '@jupyterlab/translation';

import { featureOfKind, isOff } from '../chat/features';
import type { ContextPart, FeatureName, IStatus } from '../wire/types';

/** null: it is not locked. */
export function lockWords(
  trans: TranslationBundle,
  status: IStatus | null,
  name: FeatureName
): string | null {
  return isOff(status, name)
    ? status?.policy.features[name]?.reason || offWords(trans, name)
    : null;
}

/** The same for what a part of this kind needs. */
export function lockOfKind(
  trans: TranslationBundle,
  status: IStatus | null,
  kind: ContextPart['type']
): string | null {
  const feature = featureOfKind(kind);
  return feature ? lockWords(trans, status, feature) : null;
}

function offWords(trans: TranslationBundle, name: FeatureName): string {
  switch (name) {
    case 'attach_files':
      return trans.__('Attaching files is switched off');
    case 'export':
      return trans.__('Export is switched off');
    case 'images':
      return trans.__('Pictures are switched off');
    case 'search':
      return trans.__('Search is switched off');
  }
}
