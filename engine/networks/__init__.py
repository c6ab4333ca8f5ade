"""The networks: recurrent bodies that look ahead, and the heads that turn their output into spectra."""
