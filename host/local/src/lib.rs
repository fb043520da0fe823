//! `outrigger up`: a StatefulSet as processes on one machine.
