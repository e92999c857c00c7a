import './base.css';
import './card.css';
import './composer.css';
import './history.css';
import './notebook.css';
import './transcript.css';
