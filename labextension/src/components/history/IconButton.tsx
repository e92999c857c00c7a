import { lockIcon, type LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { IFeature } from '../../wire/types';

export interface IIconButtonProps {
  icon: LabIcon;
  label: string;
  act(): void;
  /** a feature that an admin may have switched off: then a lock, and why */
  feature?: IFeature;
  lockedLabel?: string;
  expanded?: boolean;
  className?: string;
}

export const IconButton = React.forwardRef<HTMLButtonElement, IIconButtonProps>(
  (props, ref) => {
    const { icon: Icon, label, act, feature, expanded } = props;
    const locked = feature !== undefined && !feature.enabled;
    const words = locked ? feature.reason || props.lockedLabel || label : label;
    return (
      <button
        ref={ref}
        type="button"
        className={`jp-Cellar-iconButton ${props.className ?? ''}`}
        title={words}
        aria-label={locked ? `${label}: ${words}` : label}
        aria-disabled={locked || undefined}
        aria-expanded={expanded}
        onClick={event => {
          event.stopPropagation();
          if (!locked) {
            act();
          }
        }}
      >
        <Icon.react tag="span" />
        {locked ? (
          <lockIcon.react tag="span" className="jp-Cellar-lock" />
        ) : null}
      </button>
    );
  }
);
IconButton.displayName = 'IconButton';
