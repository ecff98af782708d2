"""Other people's programs and libraries, run on ferrio unchanged; see running.py for how."""
