// Runs in a session's page before BokehJS opens its connection (attnpanel/pages/serving/page_scripts.py). A classic script.

import { fetchTextsApart } from "../bokeh_patches/session_texts.js";

fetchTextsApart();
